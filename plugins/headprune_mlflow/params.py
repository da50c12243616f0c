"""Settings as MLflow's parameters: flat, of limited length, under names that it takes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

NAME_LIMIT, VALUE_LIMIT, TAG_LIMIT = 250, 6000, 5000
"""Characters."""


def params_of(settings: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The parameters, nested ones as `outer.inner`, and what had to be changed for MLflow's sake, for a human."""
    params: dict[str, str] = {}
    changes = []
    for name, value in _flat(settings, ""):
        taken = re.sub(r"[^\w.\- :]", "_", name)[:NAME_LIMIT]
        if taken in params:
            changes.append(f"{_short(name)!r} is left out: another is called so")
            continue
        if taken != name:
            changes.append(f"{_short(name)!r} is called {_short(taken)!r}")
        if len(value) > VALUE_LIMIT:
            changes.append(f"{_short(name)!r} is cut to {VALUE_LIMIT} characters")
        params[taken] = value[:VALUE_LIMIT]
    return params, changes


def _flat(settings: Mapping[str, Any], outer: str) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{outer}{name}.")
        else:
            yield f"{outer}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
