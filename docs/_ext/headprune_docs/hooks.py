"""The hooks a plugin may implement, and what each of them returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from headprune.hooks import specs
from headprune.hooks.catalogue import KINDS
from headprune.hooks.manager import HOOKS
from headprune_docs.rst import directive, page, prose, section

_MARK = f"{specs.PROJECT}_spec"  # what pluggy's marker leaves on a function


def hooks() -> dict[str, Callable[..., Any]]:
    """Every hook that is specified, by name, in the order of the source."""
    return {name: value for name, value in vars(specs).items() if inspect.isfunction(value) and hasattr(value, _MARK)}


def hook_pages() -> dict[str, str]:
    """One page."""
    introduction = "\n\n".join(map(prose, inspect.cleandoc(specs.__doc__ or "").split("\n\n")[1:]))
    version = (
        f"These are version {specs.VERSION} of the hooks. A plugin may say which version it was built for, "
        f"``HEADPRUNE_HOOKS = {specs.VERSION}`` in its module; built for another one, it is refused, with the reason."
    )
    every = section("What every spec holds", directive("autoclass", f"{specs.__name__}.Spec"))
    return {"hooks.rst": page("Hooks", introduction, version, every, *map(_section, hooks()))}


def _section(name: str) -> str:
    spec = HOOKS[name]
    (kind,) = (kind for kind, cls in KINDS.items() if cls is spec)
    return section(
        f"{kind.capitalize()}s",
        directive("autofunction", f"{specs.__name__}.{name}"),
        directive("autoclass", f"headprune.{spec.__name__}", **{"show-inheritance": ""}),
    )
