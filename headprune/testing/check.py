"""Runs a contract in this process, for who knows no pytest: which promises are kept, broken, left out, and why."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Literal

import pytest

import headprune.testing
from headprune.errors import HeadpruneError, PluginError
from headprune.hooks.blame import line_in, place, where_raised
from headprune.testing import pytest_plugin
from headprune.testing.contract import Contract

Outcome = Literal["kept", "broken", "left out"]
_SEVERITY: tuple[Outcome, ...] = ("left out", "kept", "broken")

CONTRACTS: dict[str, tuple[str, str]] = {
    "headprune.hooks.kinds.LayerRater": ("LayerRaterContract", "scorer"),
    "headprune.hooks.kinds.Scorer": ("ScorerContract", "scorer"),
    "headprune.hooks.kinds.LogitScorer": ("LogitScorerContract", "scorer"),
    "headprune.hooks.kinds.GradientScorer": ("GradientScorerContract", "scorer"),
    "headprune.edits.edit.Edit": ("EditContract", "edit"),
    "headprune.hooks.kinds.DatasetReader": ("DatasetContract", "source"),
    "headprune.towers.adapter.Backend": ("AdapterContract", "source"),
    "headprune.hooks.kinds.Listener": ("ListenerContract", "listener"),
}
"""By the base class of a kind: its contract in `headprune.testing`, and the fixture that gives the plugin to it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one promise; where its test is run for several cases, of the worst of them.

    Attributes:
        promise: what is promised, the test's docstring.
        test: its name.
        why: the fault where it is broken, the stated reason where it is left out; empty where it is kept.
    """

    promise: str
    test: str
    outcome: Outcome
    why: str = ""


def contract_for(made: object) -> type[Contract]:
    """The contract of a plugin's kind.

    Raises:
        PluginError: it is of no kind that has one.
    """
    found: type[Contract] = getattr(headprune.testing, _promised(made)[0])
    return found


def fixture_for(made: object) -> str:
    """The fixture of its contract by which a plugin is given. Raises as `contract_for` does."""
    return _promised(made)[1]


def _promised(made: object) -> tuple[str, str]:
    # By name, so that no kind's base class is imported to find out that it is not this one.
    for base in type(made).__mro__:
        if (name := f"{base.__module__}.{base.__qualname__}") in CONTRACTS:
            return CONTRACTS[name]
    known = ", ".join(name.rpartition(".")[2] for name in CONTRACTS)
    raise PluginError(f"{type(made).__name__} is of no kind that has a contract", f"kinds that have one: {known}")


def check(contract: type[Contract], **fixtures: Callable[[], Any]) -> list[Verdict]:
    """Run every test of `contract` and tell what came of it, in the order of the contract.

    pytest itself runs them, in this process, with nothing of the user's: no configuration, conftest, plugin or PYTEST_
    variable. It prints nothing and leaves no file behind.

    Args:
        contract: or a subclass of it.
        fixtures: what gives each fixture that the contract leaves to its author; called anew for each test.

    Raises:
        RuntimeError: pytest could not run the tests.
    """
    overridden = {name: _fixture(make) for name, make in fixtures.items()}
    suite = type(f"Test{contract.__name__}", (contract,), overridden)
    suite.__module__ = contract.__module__
    recorder = _Recorder(suite, tuple(fixtures))
    said = StringIO()
    with TemporaryDirectory(prefix="headprune-check-") as folder, _no_settings():
        arguments = _arguments(Path(folder))
        with redirect_stdout(said), redirect_stderr(said):
            code = pytest.main(arguments, plugins=[pytest_plugin, recorder])
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not recorder.verdicts:
        raise RuntimeError(f"pytest could not run {contract.__name__}:\n{said.getvalue()}")
    return list(recorder.verdicts.values())


def _fixture(make: Callable[[], Any]) -> Any:
    @pytest.fixture
    def made(self: Contract) -> Any:
        return make()

    return made


# What would write files, print, or set something in this process that is not pytest's own.
_UNWANTED = ("cacheprovider", "faulthandler", "logging", "threadexception", "unraisableexception")


def _arguments(folder: Path) -> list[str]:
    """For a session that stays within an empty folder."""
    config, module = folder / "pytest.ini", folder / "test_contract.py"
    config.write_text("[pytest]\n", encoding="utf-8")
    module.touch()
    switched_off = [part for name in _UNWANTED for part in ("-p", f"no:{name}")]
    within = [f"--config-file={config}", f"--rootdir={folder}", f"--basetemp={folder / 'temporary'}"]
    return [str(module), *within, "--noconftest", "--assert=plain", "--tb=native", *switched_off]


@contextmanager
def _no_settings() -> Iterator[None]:
    """Run without the variables by which a shell, or a session of pytest around this one, steers pytest."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PYTEST_")}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update(before)


class _Recorder:
    """A plugin of pytest's: has one class collected in place of what the module holds, and notes what its tests do."""

    def __init__(self, suite: type, fixtures: tuple[str, ...]) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self._fixtures = fixtures
        self._module = ModuleType("headprune_contract")
        setattr(self._module, suite.__name__, suite)

    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> pytest.Module:
        collector: pytest.Module = pytest.Module.from_parent(parent, path=module_path)
        collector.obj = self._module
        return collector

    # Outermost, so that a skip without a reason is seen as the failure that `pytest_plugin` makes of it.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Function, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "call" or not report.passed:
            self._note(item, *self._judged(item, call, report))
        return report

    def _note(self, item: pytest.Function, outcome: Outcome, why: str) -> None:
        test = item.originalname
        known = self.verdicts.get(test)
        if known is None or _SEVERITY.index(outcome) > _SEVERITY.index(known.outcome):
            promise = inspect.cleandoc(item.function.__doc__ or test).partition("\n\n")[0]
            self.verdicts[test] = Verdict(" ".join(promise.split()), test, outcome, why)

    def _judged(
        self, item: pytest.Function, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> tuple[Outcome, str]:
        if report.skipped:
            return "left out", pytest_plugin.reason_of(report)
        if report.passed:
            because = getattr(item.function, "departs_because", "")
            return ("left out", because) if because else ("kept", "")
        case = f"{item.callspec.id}: " if hasattr(item, "callspec") else ""
        if isinstance(report.longrepr, str) or call.excinfo is None:
            return "broken", f"{case}{report.longrepr}"
        given = next((item.funcargs[name] for name in self._fixtures if name in item.funcargs), None)
        return "broken", case + _fault(call.excinfo, given[0] if isinstance(given, tuple) else given)


def _fault(raised: pytest.ExceptionInfo[BaseException], culprit: object) -> str:
    """What went wrong, and at which line of the plugin, where it went wrong in the plugin."""
    error = raised.value
    if isinstance(error, AssertionError | pytest.fail.Exception):
        # Where pytest rewrote the contract, it puts what was compared behind the message, or in its place.
        said = f"\n{error}".partition("\nassert ")[0].strip() or " ".join(str(raised.traceback[-1].statement).split())
        where = line_in(error, culprit) or place(culprit)
    else:
        said = str(error) if isinstance(error, HeadpruneError) else f"{type(error).__name__}: {error}"
        where = where_raised(error, culprit)
    return f"{said} ({where})" if where else said
