"""How the docs are built: `make docs`. Why with Sphinx is told in contributing.md."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import headprune

project = "headprune"
author = "the headprune authors"
copyright = f"{author}, Apache-2.0"
release = version = headprune.__version__

extensions = [
    "headprune_docs",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

# In docstrings a name between single backticks is code.
default_role = "code"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 120

# Every reference has to lead somewhere, but for those to others' projects: to look them
# up would take the network.
_OTHERS = (
    "torch|numpy|pydantic|annotated_types|PIL|pathlib|collections|abc|typing|enum|pytest"
    "|Path|Image|Tensor"
)
nitpick_ignore_regex = [
    ("py:.*", rf"({_OTHERS})\b.*"),
    ("py:class", r"headprune\.testing\.contract\.Test"),
]

html_theme = "furo"
html_math_renderer = "mathml"
html_title = "headprune"
html_static_path = ["_static"]
html_css_files = ["headprune.css"]
html_show_sphinx = False
html_copy_source = False
