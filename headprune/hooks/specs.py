"""The hooks: what a plugin may offer, as light specs whose classes are imported when they are first used.

A plugin is a module (or object) registered under the entry-point group `headprune`, with functions of these names
marked `@headprune.hookimpl`. Each fires once, when the catalogue is built, and must not import anything heavy.
"""

from __future__ import annotations

from dataclasses import dataclass

import pluggy

PROJECT = "headprune"
VERSION = 1
"""Of the hooks. A plugin may say which it was built for, `HEADPRUNE_HOOKS = 1` in its module; others are refused."""
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's function as the hook that it is called like."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What one plugin class is called and where it lives.

    Attributes:
        name: what users type.
        target: `package.module:Class`, imported on first use.
        summary: one sentence for `headprune plugins list`.
        requires: packages it needs, as requirement strings (`"transformers>=5"`); checked before the import.
        advice: the next step where they are missing and installing them would break something else; by default
            that is what is advised.
    """

    name: str
    target: str
    summary: str
    requires: tuple[str, ...] = ()
    advice: str = ""


@dataclass(frozen=True, slots=True)
class ScorerSpec(Spec):
    """A scorer: `target` names a subclass of `headprune.Scorer`, `LogitScorer` or `GradientScorer`, which says what it
    needs.

    Attributes:
        personal: options that say whom it asks, with whose key, or which file it writes. A recipe, which may be
            somebody else's, sets them only where its user trusts it; the command line does.
    """

    personal: tuple[str, ...] = ()


class EditSpec(Spec):
    """An edit: `target` names a subclass of `headprune.Edit`."""


@dataclass(frozen=True, slots=True)
class AdapterSpec(Spec):
    """A model back end: `target` names a subclass of `headprune.Backend`.

    Attributes:
        marker: a file that tells folders which this back end wrote: a MODEL that holds it is loaded by this one, with
            no `name:` before it. Empty where it writes none.
    """

    marker: str = ""


class DatasetSpec(Spec):
    """A dataset reader: `target` names a subclass of `headprune.DatasetReader`; DATA `name` or `name:rest` takes it."""


@dataclass(frozen=True, slots=True)
class ListenerSpec(Spec):
    """A run listener: `target` names a subclass of `headprune.Listener`.

    Attributes:
        personal: options that say whom it tells, with whose key, or which file it writes; as a scorer's.
    """

    personal: tuple[str, ...] = ()


@hookspec
def headprune_scorers() -> list[ScorerSpec]:
    """Scorers this plugin offers. Fires when the catalogue is built; return a list, empty if none."""
    return []


@hookspec
def headprune_edits() -> list[EditSpec]:
    """Edits this plugin offers. Fires when the catalogue is built; return a list, empty if none."""
    return []


@hookspec
def headprune_adapters() -> list[AdapterSpec]:
    """Model back ends this plugin offers. Fires when the catalogue is built; return a list, empty if none."""
    return []


@hookspec
def headprune_datasets() -> list[DatasetSpec]:
    """Dataset readers this plugin offers. Fires when the catalogue is built; return a list, empty if none."""
    return []


@hookspec
def headprune_listeners() -> list[ListenerSpec]:
    """Run listeners this plugin offers. Fires when the catalogue is built; return a list, empty if none."""
    return []
