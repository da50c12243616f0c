"""What docstrings say, as this house writes them: prose, then sections such as `Attributes:`, a field a line."""

from __future__ import annotations

import ast
import inspect
import re
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from types import ModuleType

_HEADS = re.compile(r"^(?:Args|Attributes|Raises|Returns|Yields):\n", flags=re.M)
_ATTRIBUTES = re.compile(r"^Attributes:\n((?:[ \t]+\S.*\n?|\n)+)", flags=re.M)
_ENTRY = re.compile(r"^(\w+(?:, \w+)*): (.*(?:\n[ \t]+.*)*)", flags=re.M)

_SET_IN = re.compile(r"^(( *)\S.*):\n\n(?=\2 +\S)", flags=re.M)
_SPAN = re.compile(r"(`[^`]+`)(?=(\w?))|[|]")
_ESCAPE = "\\"
_END = "\\ "
_SHARED = re.compile(r"^( +)(\w+(?:, \w+)+)(: .*(?:\n\1 .*)*)", flags=re.M)


def introduction(cls: type) -> str:
    """What the docstring of `cls` itself says before its sections; empty where it has none of its own."""
    return _HEADS.split(_own(cls))[0].strip()


def attributes(cls: type) -> dict[str, str]:
    """What the docstrings of `cls` and of its bases say of each field, on one line."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        section = _ATTRIBUTES.search(_own(base))
        for names, text in _ENTRY.findall(dedent(section[1])) if section else ():
            found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found


def of_data(module: ModuleType, name: str) -> str:
    """The string below `name = ...` in a module, which Python itself does not keep; empty where there is none."""
    body = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body
    for node, below in pairwise(body):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        named = any(isinstance(target, ast.Name) and target.id == name for target in targets)
        if named and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            return " ".join(str(below.value.value).split())
    return ""


def as_rst(docstring: str) -> str:
    """A docstring as napoleon and reStructuredText read it.

    An entry for each field of those that describe several (`rows, columns: of patches`), what is set in below a colon
    as code, the end of code told where letters follow it (`Sample`s), and |u| no substitution.
    """
    docstring = _SET_IN.sub(r"\1::\n\n", docstring)
    one_a_line = _SHARED.sub(
        lambda entry: "\n".join(f"{entry[1]}{name}{entry[3]}" for name in entry[2].split(", ")), docstring
    )
    return _SPAN.sub(
        lambda span: f"{span[1]}{_END if span[2] else ''}" if span[1] else f"{_ESCAPE}{span[0]}", one_a_line
    )


def sentence(text: str) -> str:
    """Text that begins in lower case, as entries do, as a sentence."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


def _own(cls: type) -> str:
    return inspect.cleandoc(vars(cls).get("__doc__") or "")
