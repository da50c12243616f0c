"""What the harness's tests share: the fork server, the run that is the truth, and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.harness import ForkServer, Tally, Truth, make_truth


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    made = ForkServer(tmp_path_factory.mktemp("server"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def truth(server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return make_truth(server, tmp_path_factory.mktemp("truth"))


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Iterator[Callable[[str], Tally]]:
    """Makes tallies; what they count goes into README's table, whether the test passes or not."""
    made: list[Tally] = []

    def counted(kind: str) -> Tally:
        made.append(Tally(kind))
        return made[-1]

    yield counted
    for each in made:
        each.record(record_property)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to run in."""
    return tmp_path
