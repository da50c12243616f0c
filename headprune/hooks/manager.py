"""Loads plugins, each on its own, so that a broken one harms nobody but itself."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import pluggy
from packaging.requirements import Requirement

from headprune.hooks import specs
from headprune.hooks.specs import AdapterSpec, DatasetSpec, EditSpec, ScorerSpec, Spec

HOOKS: dict[str, type[Spec]] = {
    "headprune_scorers": ScorerSpec,
    "headprune_edits": EditSpec,
    "headprune_adapters": AdapterSpec,
    "headprune_datasets": DatasetSpec,
}


@dataclass(frozen=True, slots=True)
class Plugin:
    """One registered plugin: what it offers, or why it is broken (`broken` is empty when all is well)."""

    name: str
    package: str
    version: str
    specs: tuple[Spec, ...] = ()
    broken: str = ""


def installed_plugins() -> list[Plugin]:
    """Every plugin registered under the entry-point group `headprune`, by name; broken ones included."""
    return [_load(entry) for entry in sorted(entry_points(group=specs.PROJECT), key=lambda entry: entry.name)]


def _load(entry: EntryPoint) -> Plugin:
    package = entry.dist.name if entry.dist else "?"
    version = entry.dist.version if entry.dist else "?"
    try:
        offered = collect_specs(entry.load(), entry.name)
    # A plugin may raise anything at all when it is imported, or end the process; what it did is reported.
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        return Plugin(entry.name, package, version, broken=reason)
    return Plugin(entry.name, package, version, specs=offered)


def collect_specs(plugin: ModuleType | object, name: str) -> tuple[Spec, ...]:
    """Register `plugin` in a manager of its own, call each of its hooks once and check what comes back.

    Raises:
        pluggy.PluginValidationError: a hook that does not exist, or one that wants an argument no hook has.
        TypeError: a hook returned something other than a list of its spec class.
        packaging.requirements.InvalidRequirement: a spec requires something that cannot be read.
    """
    manager = pluggy.PluginManager(specs.PROJECT)
    manager.add_hookspecs(specs)
    manager.register(plugin, name=name)
    manager.check_pending()
    found: list[Spec] = []
    for hook, kind in HOOKS.items():
        caller = getattr(manager.hook, hook)
        answers = caller()
        if len(answers) < len(caller.get_hookimpls()):  # pluggy leaves out a None
            raise TypeError(f"{hook} must return a list of {kind.__name__}, not None")
        for offered in answers:
            if not isinstance(offered, list) or not all(isinstance(spec, kind) for spec in offered):
                raise TypeError(f"{hook} must return a list of {kind.__name__}, not {offered!r}")
            found += offered
    for spec in found:
        _check_requirements(spec)
    if not found and not manager.get_hookcallers(plugin):
        raise TypeError("it has no hook at all: mark its functions with @headprune.hookimpl")
    return tuple(found)


def _check_requirements(spec: Spec) -> None:
    """Refuse what cannot be read now, not when somebody lists the plugins."""
    if isinstance(spec.requires, str):
        raise TypeError(f"requires of {spec.name!r} must be a tuple of requirements, not text")
    for text in spec.requires:
        Requirement(text)
