"""What is installed, by kind and name, and how a name becomes a class."""

from __future__ import annotations

import difflib
import inspect
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, get_args

from packaging.requirements import Requirement

from headprune.errors import PluginError, UsageError
from headprune.hooks.blame import blaming
from headprune.hooks.kinds import AnyScorer, Configurable, DatasetReader, Scorer
from headprune.hooks.local import is_local, load_local
from headprune.hooks.manager import Plugin, installed_plugins
from headprune.hooks.specs import AdapterSpec, DatasetSpec, EditSpec, ScorerSpec, Spec

KINDS: dict[str, type[Spec]] = {
    "scorer": ScorerSpec,
    "edit": EditSpec,
    "adapter": AdapterSpec,
    "dataset": DatasetSpec,
}


class Catalogue:
    """The installed plugins. Building one imports the plugins' light modules only."""

    def __init__(self, plugins: list[Plugin]) -> None:
        self.plugins = plugins

    def names(self, kind: str) -> list[str]:
        """Names of one kind (`scorer`, `edit`, `adapter`, `dataset`), sorted."""
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
            raise PluginError(f"{kind} {name!r} is offered by {len(found)} plugins", "uninstall all but one")
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
        module, _, attribute = spec.target.partition(":")
        try:
            return getattr(import_module(module), attribute)
        # Whatever the import raises is the plugin's fault, and is said to be.
        except (Exception, SystemExit) as error:
            reason = f"{kind} {name!r} cannot be imported from {spec.target}: {type(error).__name__}: {error}"
            raise PluginError(reason, "this is a fault of that plugin; --debug shows its traceback") from error

    def _specs(self, kind: str) -> list[Spec]:
        return [spec for plugin in self.plugins for spec in plugin.specs if isinstance(spec, KINDS[kind])]

    def _unknown(self, kind: str, name: str) -> PluginError:
        broken = [plugin for plugin in self.plugins if plugin.broken and (plugin.name == name)]
        if broken:
            return PluginError(f"plugin {name!r} is broken: {broken[0].broken}", "headprune plugins list")
        close = difflib.get_close_matches(name, self.names(kind), n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return PluginError(f"no {kind} called {name!r}", f"{hint}installed: {', '.join(self.names(kind)) or 'none'}")


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
    """The catalogue of this process."""
    return Catalogue(installed_plugins())


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
    with blaming(f"{kind} {name!r}"):
        return target.configured(options)
