"""headprune plugins check: whether a plugin keeps what its kind promises."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from headprune.edits.edit import Edit
from headprune.errors import DataError, HeadpruneError, PluginError, UsageError
from headprune.hooks.blame import blaming
from headprune.hooks.catalogue import KINDS, catalogue, make, make_any_scorer, make_listener, make_reader
from headprune.hooks.kinds import AnyScorer, DatasetReader, Listener
from headprune.hooks.local import is_local
from headprune.towers.adapter import Backend, LoadRequest
from headprune.towers.load import locate
from headprune.types import Expense

if TYPE_CHECKING:
    from headprune.testing.check import Outcome, Verdict

_BASES: dict[str, tuple[type, ...]] = {
    "scorer": get_args(AnyScorer),
    "edit": (Edit,),
    "adapter": (Backend,),
    "dataset": (DatasetReader,),
    "listener": (Listener,),
}
_CAPTIONS, _LAYERS = 200, 5
"""At most how many captions a scorer's contract has scored, and of how many layers side by side; a test counts them."""


@dataclass(frozen=True)
class Checkup:
    """A plugin about to be checked.

    Attributes:
        name: as it was typed.
        kind: scorer, edit, adapter, dataset or listener.
        give: makes it anew, as the fixture of its contract gives it.
        expense: what the check would cost; None where it is free.
    """

    name: str
    kind: str
    give: Callable[[], Any]
    expense: Expense | None = None


@dataclass(frozen=True)
class Checked:
    """A plugin that was checked, and what came of each promise."""

    name: str
    kind: str
    verdicts: Sequence[Verdict]

    def count(self, outcome: Outcome) -> int:
        """Promises with this outcome."""
        return sum(verdict.outcome == outcome for verdict in self.verdicts)

    @property
    def summary(self) -> str:
        """The verdict, in a line."""
        total, broken, left_out = len(self.verdicts), self.count("broken"), self.count("left out")
        if broken:
            return f"{self.name} breaks {broken} of {total} promises of {a(self.kind)}"
        if left_out:
            those = "one is" if left_out == 1 else f"{left_out} are"
            return f"{self.name} keeps {total - left_out} promises of {a(self.kind)}; {those} left out"
        return f"{self.name} keeps all {total} promises of {a(self.kind)}"


def prepare_check(
    name: str,
    kind: str | None = None,
    options: Mapping[str, Any] | None = None,
    model: str | None = None,
    data: str | None = None,
) -> Checkup:
    """Find the plugin and make one, to see that it can be made.

    Args:
        name: of what an installed plugin offers, or `./file.py:Class`.
        kind: where the name alone does not tell.
        options: raw settings of the plugin.
        model: MODEL that an adapter loads.
        data: DATA that a dataset opens, with or without its `name:`; not needed where it opens without.

    Raises:
        PluginError: no such plugin, or it is broken. UsageError: the name is of two kinds; a setting is wrong; what
            this kind needs is missing, or what it does not need is given.
    """
    kind = _checked_kind(kind) or _kind_of(name)
    for flag, given, wanted in (("--model", model, "adapter"), ("--data", data, "dataset")):
        if given is not None and kind != wanted:
            raise UsageError(f"{flag} is for {a(wanted)}; {name} is {a(kind)}", f"leave {flag} out")
    if kind == "adapter":
        return _adapter(name, model, options)
    if kind == "dataset":
        return _dataset(name, data, dict(options or {}))
    makers: dict[str, Callable[..., Any]] = {"scorer": make_any_scorer, "listener": make_listener, "edit": _make_edit}
    give = partial(makers[kind], name, dict(options or {}))
    made = give()
    return Checkup(name, kind, give, made.expense(_CAPTIONS, _LAYERS) if kind == "scorer" else None)


def perform_check(checkup: Checkup) -> Checked:
    """Try each promise of the plugin's kind.

    Raises:
        HeadpruneError: pytest, which runs contracts, is not installed.
    """
    try:
        from headprune.testing.check import check, contract_for, fixture_for
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise HeadpruneError("checking a plugin needs pytest", "pip install 'headprune[plugins]'") from error
    given = checkup.give()
    plugin = given[0] if isinstance(given, tuple) else given
    verdicts = check(contract_for(plugin), **{fixture_for(plugin): checkup.give})
    return Checked(checkup.name, checkup.kind, verdicts)


def _checked_kind(kind: str | None) -> str | None:
    if kind is not None and kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}", f"kinds: {', '.join(KINDS)}")
    return kind


def _kind_of(name: str) -> str:
    """The kind that `name` is of: by what is installed, or by the class in a file.

    Raises:
        PluginError: of none. UsageError: of two.
    """
    if is_local(name):
        # The kind only words what goes wrong.
        target = catalogue().load("plugin", name)
        found = [kind for kind, bases in _BASES.items() if isinstance(target, type) and issubclass(target, bases)]
        if not found:
            raise PluginError(f"{name} is no plugin's class", f"its base is none of {', '.join(_base_names())}")
        return found[0]
    found = [kind for kind in KINDS if name in catalogue().names(kind)]
    if len(found) > 1:
        kinds = " and ".join(map(a, found))
        raise UsageError(f"{name!r} is the name of {kinds}", " or ".join(f"--kind {kind}" for kind in found))
    if not found:
        raise _unknown(name)
    return found[0]


def _unknown(name: str) -> PluginError:
    for plugin in catalogue().plugins:
        if plugin.name == name and plugin.broken:
            return PluginError(f"plugin {name!r} is broken: {plugin.broken}", "headprune plugins list")
        if plugin.name == name:
            offers = ", ".join(sorted(spec.name for spec in plugin.specs))
            return PluginError(f"{name!r} is a plugin; what it offers is checked one by one", f"it offers {offers}")
    known = [known for kind in KINDS for known in catalogue().names(kind)]
    close = difflib.get_close_matches(name, known, n=1)
    return PluginError(
        f"nothing is called {name!r}", f"{f'did you mean {close[0]!r}? ' if close else ''}headprune plugins list"
    )


def _base_names() -> list[str]:
    return [f"headprune.{base.__name__}" for bases in _BASES.values() for base in bases]


def a(kind: str) -> str:
    """`a scorer`, `an edit`."""
    return f"{'an' if kind[0] in 'ae' else 'a'} {kind}"


def _make_edit(name: str, options: dict[str, Any]) -> Edit:
    made: Edit = make("edit", name, (Edit,), options)
    return made


def _adapter(name: str, model: str | None, options: Mapping[str, Any] | None) -> Checkup:
    if options:
        raise UsageError(f"adapter {name!r} has no settings", "leave --option out")
    if model is None:
        raise UsageError(f"adapter {name!r} needs a model to be checked on", "--model MODEL: best a tiny one")
    ref = model.removeprefix(f"{name}:")

    def give() -> tuple[Backend, str]:
        backend, request = locate(ref, LoadRequest(ref, backend=name))
        return backend, request.name

    backend, found = give()
    # A model that is not there is said to be; what else goes wrong, the contract tells.
    with suppress(PluginError), blaming(f"adapter {name!r}", backend):
        backend.outline(LoadRequest(found))
    return Checkup(name, "adapter", give)


def _dataset(name: str, data: str | None, options: dict[str, Any]) -> Checkup:
    ref = "" if data in (None, name) else str(data).removeprefix(f"{name}:")

    def give() -> tuple[DatasetReader, str]:
        return make_reader(name, dict(options)), ref

    reader, _ = give()
    try:
        # As with a model.
        with suppress(PluginError), blaming(f"dataset {name!r}", reader):
            reader.open(ref)
    except DataError as error:
        if data is None:
            raise UsageError(f"dataset {name!r} needs data to be checked on", "--data DATA: a few samples") from error
        raise
    return Checkup(name, "dataset", give)
