"""Every public name, `headprune.NAME`, grouped by the part of the house it comes from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from types import FunctionType
from typing import Any

import headprune
from headprune.errors import HeadpruneError
from headprune.hooks.specs import Spec
from headprune.recipes.schema import Table
from headprune_docs.docstrings import of_data
from headprune_docs.rst import directive, page, prose, toctree

_TITLES = {
    "edits": "Edits",
    "errors": "Errors and notices",
    "hooks": "Plugins",
    "jobs": "What the commands do",
    "patch": "Patches",
    "towers": "Models and towers",
    "types": "Plain data",
}
# Small homes stand with their neighbours.
_WITH = {
    "labels": "types",
    "perspectives": "jobs",
    "pictures": "types",
    "recipes": "jobs",
    "scoring": "jobs",
}


@dataclass(frozen=True, slots=True)
class Name:
    """A public name.

    Attributes:
        name: as in `headprune.NAME`.
        home: the module it lives in.
        value: what it stands for.
    """

    name: str
    home: str
    value: Any

    @property
    def is_data(self) -> bool:
        """Whether it is neither a function nor a class, or another name for one."""
        return not (inspect.isclass(self.value) or inspect.isfunction(self.value)) or self.value.__name__ != self.name

    @property
    def doc(self) -> str:
        """What it says of itself."""
        if self.is_data:
            return of_data(import_module(self.home), self.name)
        return inspect.cleandoc(self.value.__doc__ or "")

    @property
    def group(self) -> str:
        """The part of the house that it is shown with."""
        part = self.home.split(".")[1]
        return _WITH.get(part, part)


def public_names() -> list[Name]:
    """Every name of `headprune.__all__`, in its order."""
    return [Name(name, headprune._HOME_OF[name], getattr(headprune, name)) for name in headprune.__all__]


def spoken_of(names: list[Name]) -> list[type]:
    """Classes of headprune that are not public themselves, and that what is public takes, gives or builds on."""
    waiting = [name.value for name in names]
    known = set(filter(inspect.isclass, waiting))
    found: list[type] = []
    while waiting:
        new = [cls for cls in dict.fromkeys(_named_by(waiting.pop())) if cls not in known]
        known.update(new)
        waiting += new
        found += new
    return sorted((cls for cls in found if cls.__name__[0] != "_"), key=lambda cls: (cls.__module__, cls.__name__))


def name_pages() -> dict[str, str]:
    """A page for each group, one of what they speak of, one that leads to them. Specs are shown with their hooks."""
    names = [name for name in public_names() if not (inspect.isclass(name.value) and issubclass(name.value, Spec))]
    groups = sorted({name.group for name in names}, key=_title)
    pages = {
        f"python/{group}.rst": page(_title(group), *(_documented(name) for name in names if name.group == group))
        for group in groups
    }
    return {
        "python/index.rst": page("Python", _LEADING, toctree(*groups, "others")),
        "python/others.rst": page("Types behind them", _OTHERS, *map(_other, spoken_of(names))),
        **pages,
    }


# `Settings` is a class that another one names, `model_config` what pydantic asks of it.
_MEMBERS = {"members": "", "exclude-members": "Settings, model_config"}
_LEADING = "Every public name. They are imported when first used: ``import headprune`` loads no torch."
_OTHERS = "What public names take, give and build on. These have no public name: get them from what gives them."


def _title(group: str) -> str:
    return _TITLES.get(group, group.capitalize())


def _documented(name: Name) -> str:
    full = f"headprune.{name.name}"
    if name.is_data:
        return directive("py:data", name.name, prose(name.doc), module="headprune")
    if inspect.isfunction(name.value):
        return directive("autofunction", full)
    if issubclass(name.value, HeadpruneError):
        code = name.value.exit_code
        return directive("autoexception", full, f"Exit code: {code.value}.", **{"show-inheritance": ""})
    values = {"undoc-members": ""} if issubclass(name.value, Enum) else {}
    return directive("autoclass", full, **_MEMBERS, **_bases(name.value), **values)


def _other(cls: type) -> str:
    if issubclass(cls, Table):
        return directive(
            "py:class",
            cls.__name__,
            f"{prose(cls.__doc__ or '')} Its settings: :doc:`../recipe`.",
            module=cls.__module__,
        )
    return directive("autoclass", f"{cls.__module__}.{cls.__name__}", **_MEMBERS, **_bases(cls))


def _bases(cls: type) -> dict[str, str]:
    """Show the bases of a class that has some to show; a private one is shown as its own."""
    shown = (above for base in cls.__bases__ for above in (base.__bases__ if base.__name__[0] == "_" else (base,)))
    return {"show-inheritance": ""} if any(base is not object for base in shown) else {}


def _named_by(value: Any) -> Iterator[type]:
    """The classes of headprune that annotations of `value`, and of what is public in it, name, and its bases."""
    annotated: list[Any] = [value]
    if inspect.isclass(value):
        if issubclass(value, Table):
            return
        yield from (base for base in value.__bases__ if base.__module__.startswith("headprune"))
        members = {name: member for name, member in vars(value).items() if name[0] != "_" or name == "__init__"}
        annotated += [getattr(member, "fget", getattr(member, "__func__", member)) for member in members.values()]
    elif not isinstance(value, FunctionType):
        return
    home = vars(import_module(value.__module__))
    for one in annotated:
        told = getattr(one, "__annotations__", {})
        text = " ".join(str(kind) for name, kind in told.items() if name[0] != "_")
        for word in re.findall(r"[A-Za-z]\w*", text):
            cls = home.get(word)
            if inspect.isclass(cls) and cls.__module__.startswith("headprune"):
                yield cls
