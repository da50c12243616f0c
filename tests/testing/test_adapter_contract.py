"""The contract of back ends: the right one keeps it, and for each promise a wrong one breaks it, and it alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from headprune import Backend
from headprune.testing import AdapterContract
from tests.support import tiny
from tests.testing.bent import BENDS, BentBackend, Straight

SUITE = Path(__file__).with_name("adapter_suite.py")
PROMISES = [name for name in dir(AdapterContract) if name.startswith("test_")]


class Run:
    """A pytest plugin that gives the suite its back end, and keeps what came out."""

    def __init__(self, source: tuple[Backend, str]) -> None:
        self.source = source
        self.passed: set[str] = set()
        self.failed: set[str] = set()

    @pytest.fixture
    def bent(self) -> tuple[Backend, str]:
        return self.source

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2].partition("[")[0]
        if not report.passed:
            self.failed.add(name)
        elif report.when == "call":
            self.passed.add(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny.build("blip2-t5", tmp_path_factory.mktemp("tiny"))


def broken(folder: Path, bend: type[Straight]) -> set[str]:
    """The promises that a back end breaks."""
    run = Run((BentBackend(bend), str(folder)))
    pytest.main([str(SUITE), "-q", "-p", "no:cacheprovider", "-p", "no:warnings"], plugins=[run])
    assert run.passed | run.failed == {*PROMISES}
    return run.failed


def test_the_right_one_keeps_all(folder):
    assert not broken(folder, Straight)


def test_there_is_a_wrong_one_for_each_promise():
    assert sorted(BENDS) == PROMISES


@pytest.mark.parametrize("promise", PROMISES)
def test_a_wrong_one_breaks_its_promise_and_no_other(folder, promise):
    assert broken(folder, BENDS[promise]) == {promise}
