"""What these docs ask of Sphinx: the reference, written from headprune's own definitions, and formulas as MathML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    from headprune_docs import mathml

    app.setup_extension("sphinx.ext.autodoc")
    mathml.register(app)
    app.connect("builder-inited", _write_reference)
    # Before napoleon, whose place is 500.
    app.connect("autodoc-process-docstring", _as_rst, priority=400)
    app.connect("autodoc-process-bases", _public_bases)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write_reference(app: Sphinx) -> None:
    from headprune_docs.reference import pages, write

    write(pages(), Path(app.srcdir) / "reference")


def _as_rst(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    from headprune_docs.docstrings import as_rst

    lines[:] = as_rst("\n".join(lines)).split("\n")


def _public_bases(app: Sphinx, name: str, value: Any, options: Any, bases: list[type]) -> None:
    """A private base is shown as the public ones that it has itself."""
    bases[:] = [shown for base in bases for shown in (base.__bases__ if base.__name__[0] == "_" else (base,))]
