"""What is installed, by kind and name, and how a name becomes a class."""

from __future__ import annotations

import difflib
import inspect
import os
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

from packaging.requirements import Requirement

from headprune.errors import PluginError, UsageError
from headprune.hooks.blame import blaming
from headprune.hooks.checks import check_needs
from headprune.hooks.folder import folder_plugins
from headprune.hooks.kinds import SCORER_NEEDS, AnyScorer, Configurable, DatasetReader, Listener, Scorer
from headprune.hooks.local import imported, is_local, load_local, local_digest
from headprune.hooks.manager import Plugin, installed_plugins
from headprune.hooks.specs import PROJECT, AdapterSpec, DatasetSpec, EditSpec, ListenerSpec, ScorerSpec, Spec

KINDS: dict[str, type[Spec]] = {
    "scorer": ScorerSpec,
    "edit": EditSpec,
    "adapter": AdapterSpec,
    "dataset": DatasetSpec,
    "listener": ListenerSpec,
}


NO_PLUGINS = "HEADPRUNE_NO_PLUGINS"


class Catalogue:
    """The installed plugins. Building one imports the plugins' light modules only."""

    def __init__(self, plugins: list[Plugin]) -> None:
        self.plugins = plugins

    def names(self, kind: str) -> list[str]:
        """Names of one kind (`scorer`, `edit`, `adapter`, `dataset`, `listener`), sorted."""
        return sorted(spec.name for spec in self._specs(kind))

    def find(self, kind: str, name: str) -> Spec:
        """The spec called `name`.

        Raises:
            PluginError: no plugin offers it (names that come close are given; a broken plugin is named), two do, or
                a package it requires is missing.
        """
        found = [spec for spec in self._specs(kind) if spec.name == name]
        if len(found) == 1:
            unmet = unmet_requirements(found[0])
            if unmet:
                advice = found[0].advice or f"pip install {' '.join(map(repr, unmet))}"
                raise PluginError(f"{kind} {name!r} needs {', '.join(unmet)}", advice)
            return found[0]
        if found:
            homes = ", ".join(plugin.package for plugin in self.plugins if set(plugin.specs) & set(found))
            raise PluginError(
                f"{kind} {name!r} is offered by {len(found)} plugins: {homes}", "uninstall or remove all but one"
            )
        raise self._unknown(kind, name)

    def written_by(self, folder: Path) -> str | None:
        """The model back end whose marker lies in `folder`; None where there is none."""
        specs = (spec for plugin in self.plugins for spec in plugin.specs if isinstance(spec, AdapterSpec))
        return next((spec.name for spec in specs if spec.marker and (folder / spec.marker).is_file()), None)

    def load(self, kind: str, name: str) -> Any:
        """The class (for adapters: the function) behind `name`, or behind a local `./file.py:Class` the user typed.

        Raises:
            PluginError: unknown, or its import fails; the plugin's own error is named and chained.
        """
        if is_local(name):
            return load_local(name)
        spec = self.find(kind, name)
        return load_local(spec.target) if is_local(spec.target) else imported(spec.target, f"{kind} {name!r}")

    def origin(self, kind: str, name: str) -> dict[str, str]:
        """Which code `name` stands for, to be recorded: the `sha256` of a file, the `package` and its version of an
        installed plugin; nothing of what came with headprune, whose version is recorded anyway.

        Raises:
            PluginError: as `find` does.
        """
        target = name if is_local(name) else self.find(kind, name).target
        if is_local(target):
            return {"sha256": local_digest(target)}
        (home,) = (plugin for plugin in self.plugins for spec in plugin.specs if spec == self.find(kind, name))
        return {} if home.package == PROJECT else {"package": f"{home.package} {home.version}"}

    def packages(self) -> set[str]:
        """Top-level packages of the plugins that did not come with headprune."""
        others = (spec for plugin in self.plugins if plugin.package != PROJECT for spec in plugin.specs)
        return {spec.target.partition(":")[0].partition(".")[0] for spec in others if not is_local(spec.target)}

    def _specs(self, kind: str) -> list[Spec]:
        return [spec for plugin in self.plugins for spec in plugin.specs if isinstance(spec, KINDS[kind])]

    def _unknown(self, kind: str, name: str) -> PluginError:
        broken = [plugin for plugin in self.plugins if plugin.broken and (plugin.name == name)]
        if broken:
            return PluginError(f"plugin {name!r} is broken: {broken[0].broken}", "headprune plugins list")
        close = difflib.get_close_matches(name, self.names(kind), n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        known = f"installed: {', '.join(self.names(kind)) or 'none'}"
        lost = ", ".join(plugin.name for plugin in self.plugins if plugin.broken)
        doubt = f"; broken, see headprune plugins list: {lost}" if lost else ""
        hidden = "; --no-plugins leaves out what did not come with headprune" if os.environ.get(NO_PLUGINS) else ""
        return PluginError(f"no {kind} called {name!r}", f"{hint}{known}{doubt}{hidden}")


def unmet_requirements(spec: Spec) -> list[str]:
    """The requirements of `spec` that this environment does not meet."""
    unmet = []
    for text in spec.requires:
        requirement = Requirement(text)
        try:
            met = requirement.specifier.contains(version(requirement.name), prereleases=True)
        except PackageNotFoundError:
            met = False
        if not met:
            unmet.append(text)
    return unmet


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The catalogue of this process: what is installed, and what lies in the user's plugin folder. With
    HEADPRUNE_NO_PLUGINS in the environment (`headprune --no-plugins`) it is what came with headprune, no more."""
    if os.environ.get(NO_PLUGINS):
        return Catalogue(installed_plugins(shipped=True))
    return Catalogue([*installed_plugins(), *folder_plugins()])


def make_scorer(name: str, options: dict[str, Any]) -> Scorer:
    """A scorer of captions by name or local file, set up with raw options.

    Raises:
        PluginError: unknown, broken, or no scorer. UsageError: an option is wrong, or it scores something else.
    """
    made = make_any_scorer(name, options)
    if not isinstance(made, Scorer):
        needs = " and ".join(sorted(made.needs))
        raise UsageError(
            f"scorer {name!r} needs {needs}; captions are compared here", "bertscore, cider, bleu, rouge, exact"
        )
    return made


def make_any_scorer(name: str, options: dict[str, Any]) -> AnyScorer:
    """A scorer of any kind by name or local file, set up with raw options. Raises as `make_scorer` does."""
    made: AnyScorer = make("scorer", name, get_args(AnyScorer), options)
    base = next(base for base in get_args(AnyScorer) if isinstance(made, base))
    check_needs(made, f"scorer {name!r}", SCORER_NEEDS if base is Scorer else base.needs)
    return made


def make_listener(name: str, options: dict[str, Any]) -> Listener:
    """A run listener by name or local file, set up with raw options. Raises as `make_scorer` does."""
    made: Listener = make("listener", name, (Listener,), options)
    return made


def make_reader(name: str, options: dict[str, Any]) -> DatasetReader:
    """A dataset reader by name, set up with raw options. Raises as `make_scorer` does."""
    made: DatasetReader = make("dataset", name, (DatasetReader,), options)
    return made


def make(kind: str, name: str, bases: tuple[type[Configurable], ...], options: dict[str, Any]) -> Any:
    """What `name` names, which must be a subclass of one of `bases`, set up with raw options.

    Raises as `make_scorer` does.
    """
    target: Any = catalogue().load(kind, name)
    if not (inspect.isclass(target) and issubclass(target, bases)):
        known = " or ".join(f"headprune.{base.__name__}" for base in bases)
        raise PluginError(f"{kind} {name!r} is no subclass of {known}", "README shows a scorer")
    # Making it runs the plugin's own code; a method that it lacks shows here as well.
    with blaming(f"{kind} {name!r}", target):
        return target.configured(options)
