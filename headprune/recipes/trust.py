"""What a recipe may not do unless its user trusts it: it may come from anybody."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from headprune.errors import UsageError
from headprune.hooks.catalogue import catalogue
from headprune.hooks.specs import ListenerSpec, ScorerSpec
from headprune.recipes.toml import PLUGINS, Values, short

# Narrow: what is odd in a URL, those who open it read in different ways.
_HERE = re.compile(r"https?://(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9_./-]*)?")
_TRUST = "or trust the recipe: --allow-local-plugins"
_SPECS: dict[str, type[ScorerSpec] | type[ListenerSpec]] = {"scorer": ScorerSpec, "listener": ListenerSpec}
_OPTIONS = (
    # Their place, the kind and the place of the plugin they are for, and how the command line calls them.
    (("scorer_options",), "scorer", ("scorer",), "--scorer-option"),
    (("listener_options",), "listener", ("listener",), "--listener-option"),
    (("evaluate", "scorer_options"), "scorer", ("evaluate", "scorer"), "--scorer-option"),
    (("evaluate", "convergence_options"), "scorer", ("evaluate", "convergence_scorer"), ""),
)


def refuse_untrusted(values: Values, all_values: Values, path: str | Path, trusted: bool = False) -> None:
    """Refuse a recipe that would run code, write where nobody said, or choose a server to talk to or a key to send.

    Args:
        values: what it sets and the command line does not.
        all_values: what both set.
        trusted: whether the user lets it; where only data or a model can stand, no file of Python's is let.

    Raises:
        UsageError: it names a plugin's file or a cluster, or sets an option that is the user's own.
    """
    _refuse_plugin_files(values, path, trusted)
    if trusted:
        return
    address = _value_at(values, ("ray", "address"))
    if address not in (None, "auto") and _value_at(all_values, ("engine",)) == "ray":
        raise UsageError(
            f"recipe {path}: ray.address says whose cluster gets your pictures and sends code: that is for the "
            "command line",
            f"--address {short(address)}, {_TRUST}",
        )
    for place, kind, owner, option in _OPTIONS:
        for name, value in _value_at(values, place, {}).items():
            plugin = _value_at(all_values, owner)
            if name in _personal(kind, plugin) and not _is_here(name, value):
                typed = f"{option} {name}={short(str(value))}, " if option else ""
                raise UsageError(
                    f"recipe {path}: {'.'.join(place)}.{name} says where {plugin} writes, whom it talks to or with "
                    "which key: that is for the command line",
                    f"{typed}{_TRUST}",
                )


def _personal(kind: str, plugin: Any) -> set[str]:
    """The options of an installed plugin that are its user's own. A file's class is asked for none: its user trusts it
    with all the rest."""
    base = _SPECS[kind]
    specs = (spec for home in catalogue().plugins for spec in home.specs if isinstance(spec, base))
    # Also where a package that it requires is missing: a recipe is refused or not on every machine alike.
    return {option for spec in specs if spec.name == plugin for option in spec.personal}


def _is_here(option: str, value: Any) -> bool:
    """Whether an option is a URL, by its name, and of a server on this machine."""
    return option.endswith(("url", "uri")) and isinstance(value, str) and _HERE.fullmatch(value) is not None


def _refuse_plugin_files(values: Values, path: str | Path, trusted: bool) -> None:
    """Raise UsageError where it names a file with a plugin: a recipe is data and runs nothing that came with it."""
    named = {key: values.get(key) for key in ("model", "data")}
    named["lesion.means_data"] = values.get("lesion", {}).get("means_data")
    if not trusted:
        named |= {".".join(place): _value_at(values, place) for place in PLUGINS}
    for key, value in named.items():
        if value is not None and re.search(r"\.py(?::|$)", value):
            option = key.rpartition(".")[2].replace("_", "-")
            trust = f", {_TRUST}" if tuple(key.split(".")) in PLUGINS else ""
            raise UsageError(
                f"recipe {path}: {key} names a file, {short(repr(value))}",
                f"pass it on the command line: --{option} {short(value)}{trust}",
            )


def _value_at(values: Values, place: tuple[str, ...], default: Any = None) -> Any:
    for key in place[:-1]:
        values = values.get(key, {})
    return values.get(place[-1], default)
