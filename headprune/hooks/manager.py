"""Loads plugins, each on its own, so that a broken one harms nobody but itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

import pluggy
from packaging.requirements import Requirement

from headprune.hooks import specs
from headprune.hooks.blame import Aside, at_import, place
from headprune.hooks.specs import AdapterSpec, DatasetSpec, EditSpec, ListenerSpec, ScorerSpec, Spec

HOOKS: dict[str, type[Spec]] = {
    "headprune_scorers": ScorerSpec,
    "headprune_edits": EditSpec,
    "headprune_adapters": AdapterSpec,
    "headprune_datasets": DatasetSpec,
    "headprune_listeners": ListenerSpec,
}
# What pluggy's marker leaves on a function.
_MARK = f"{specs.PROJECT}_impl"


@dataclass(frozen=True, slots=True)
class Plugin:
    """One registered plugin: what it offers, or why it is broken (`broken` is empty when all is well)."""

    name: str
    package: str
    version: str
    specs: tuple[Spec, ...] = ()
    broken: str = ""


def installed_plugins(shipped: bool = False) -> list[Plugin]:
    """Every plugin registered under the entry-point group `headprune`, by name; broken ones included.

    Args:
        shipped: those that came with headprune itself, no others.
    """
    found = sorted(entry_points(group=specs.PROJECT), key=lambda entry: entry.name)
    return [_load(entry) for entry in found if not shipped or _home(entry)[0] == specs.PROJECT]


def _load(entry: EntryPoint) -> Plugin:
    package, version = _home(entry)
    try:
        if not entry.pattern.match(entry.value):
            raise ValueError(f"its entry point names no module: {entry.value!r}")
        with redirect_stdout(Aside(f"plugin {entry.name}")):
            offered = collect_specs(entry.load(), entry.name)
    # A plugin may raise anything at all when it is imported, or end the process; what it did is reported.
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}{at_import(error, entry.value.partition(':')[0])}"
        return Plugin(entry.name, package, version, broken=reason)
    return Plugin(entry.name, package, version, specs=offered)


def _home(entry: EntryPoint) -> tuple[str, str]:
    """The package that brings it, and its version; "?" where the record of its installation is damaged."""
    try:
        return (entry.dist and entry.dist.name) or "?", (entry.dist and entry.dist.version) or "?"
    # Other packages put readers of such records of their own in place, which raise what they like.
    except Exception:
        return "?", "?"


def collect_specs(plugin: ModuleType | object, name: str) -> tuple[Spec, ...]:
    """Register `plugin` in a manager of its own, call each of its hooks once and check what comes back.

    Raises:
        TypeError: a hook that does not exist, wants an argument, is not marked, or returned something other than a list
            of its spec class; or the plugin was built for another version of the hooks. Each with its file and line.
        packaging.requirements.InvalidRequirement: a spec requires something that cannot be read.
    """
    check_version(plugin)
    for function in _functions(plugin):
        _check_hook(function)
    manager = pluggy.PluginManager(specs.PROJECT)
    manager.add_hookspecs(specs)
    manager.register(plugin, name=name)
    found: list[Spec] = []
    for hook, kind in HOOKS.items():
        caller = getattr(manager.hook, hook)
        where = "".join(f" ({place(implementation.function)})" for implementation in caller.get_hookimpls())
        answers = caller()
        if len(answers) < len(caller.get_hookimpls()):  # pluggy leaves out a None
            raise TypeError(f"{hook} must return a list of {kind.__name__}, not None{where}")
        for offered in answers:
            if not isinstance(offered, list) or not all(isinstance(spec, kind) for spec in offered):
                raise TypeError(f"{hook} must return a list of {kind.__name__}, not {offered!r}{where}")
            found += offered
    for spec in found:
        _check_requirements(spec)
    if not manager.get_hookcallers(plugin):
        raise TypeError(f"it has no hook at all: {', '.join(HOOKS)}")
    return tuple(found)


def _functions(plugin: ModuleType | object) -> Iterator[Callable[..., Any]]:
    """What of a plugin is a hook, or is called like one."""
    for name in dir(plugin):
        value = getattr(plugin, name, None)
        if inspect.isroutine(value) and (hasattr(value, _MARK) or name in HOOKS):
            yield value


def _check_hook(function: Callable[..., Any]) -> None:
    """See that headprune has such a hook, that it is marked, and that it wants nothing."""
    name, where = function.__name__, place(function)
    if name not in HOOKS:
        close = get_close_matches(name, HOOKS, n=1)
        meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(HOOKS)}"
        raise TypeError(f"headprune has no hook {name} ({where}): {meant}")
    if not hasattr(function, _MARK):
        raise TypeError(f"{name} is not marked ({where}): put @headprune.hookimpl above it")
    wanted = ", ".join(inspect.signature(function).parameters)
    if wanted:
        raise TypeError(f"{name} is given nothing, and asks for {wanted} ({where}): take its arguments away")


def check_version(plugin: ModuleType | object) -> None:
    """Refuse what says that it was built for other hooks.

    Raises:
        TypeError: it does.
    """
    built_for = getattr(plugin, "HEADPRUNE_HOOKS", specs.VERSION)
    if built_for != specs.VERSION:
        newer = isinstance(built_for, int) and built_for > specs.VERSION
        raise TypeError(
            f"built for version {built_for!r} of headprune's hooks, here is version {specs.VERSION} ({place(plugin)}): "
            f"pip install --upgrade {'headprune' if newer else 'that package, or ask its author'}"
        )


def _check_requirements(spec: Spec) -> None:
    """Refuse what cannot be read now, not when somebody lists the plugins."""
    if isinstance(spec.requires, str):
        raise TypeError(f"requires of {spec.name!r} must be a tuple of requirements, not text")
    for text in spec.requires:
        Requirement(text)
