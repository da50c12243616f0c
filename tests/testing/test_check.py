"""A contract run without pytest around it: verdicts, whose fault it is, and nothing of the user's touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from headprune_jsonl.listener import JsonLines
from headprune_likelihood.gradient import Gradient
from headprune_likelihood.logit import Logit
from headprune_ngram.exact import Exact
from headprune_wordnet.scorer import WordNetConcreteness

import headprune.testing
from headprune import PluginError, ScoreItem, Scorer, UsageError
from headprune.demo.reader import DemoReader
from headprune.edits.heads import Ablate
from headprune.testing import departs
from headprune.testing.check import CONTRACTS, Verdict, check, contract_for, fixture_for
from headprune.testing.contract import Contract


class Two(Contract):
    """Twos, in lists."""

    @pytest.fixture
    def made(self) -> Any:
        raise NotImplementedError

    def test_a_list(self, made: Any) -> None:
        """It is a list."""
        assert isinstance(made, list), f"a {type(made).__name__} is no list"

    def test_two(self, made: Any) -> None:
        """It has two things,
        not one and not three.

        Three are a crowd.
        """
        assert len(made) == 2

    @pytest.mark.parametrize("at", [0, 1, 2, 3], ids=["first", "second", "third", "fourth"])
    def test_each(self, made: Any, at: int) -> None:
        """Each is a two."""
        if at > 2:
            pytest.skip("there is no fourth")
        assert made[at] == 2, f"{made[at]} is no two"

    def test_more(self, made: Any) -> None:
        """It is more than we can tell."""
        pytest.skip("we cannot tell")

    def test_even_more(self, made: Any) -> None:
        """It is even more."""
        pytest.skip()


def verdicts(make: Any, contract: type[Contract] = Two) -> dict[str, tuple[str, str]]:
    return {verdict.test: (verdict.outcome, verdict.why) for verdict in check(contract, made=make)}


def test_each_promise_gets_a_verdict_in_the_contracts_order() -> None:
    assert check(Two, made=lambda: [2, 2, 2]) == [
        Verdict("It is a list.", "test_a_list", "kept"),
        Verdict("It has two things, not one and not three.", "test_two", "broken", "assert len(made) == 2"),
        Verdict("Each is a two.", "test_each", "kept"),
        Verdict("It is more than we can tell.", "test_more", "left out", "we cannot tell"),
        Verdict(
            "It is even more.",
            "test_even_more",
            "broken",
            "test_even_more of a contract is skipped without a reason: state one, or keep the promise",
        ),
    ]


def test_of_several_cases_the_first_that_fails_is_told() -> None:
    assert verdicts(lambda: [2, 5, 7])["test_each"] == ("broken", "second: 5 is no two")


def test_what_makes_the_plugin_is_called_for_each_test() -> None:
    made: list[list[int]] = []

    def make() -> list[int]:
        made.append([2, 2])
        return made[-1]

    check(Two, made=make)
    assert len(made) == 8 and len(set(map(id, made))) == 8


@pytest.mark.parametrize(
    ("error", "said"), [(KeyError("two"), "KeyError: 'two'"), (UsageError("no two", "give two"), "no two (give two)")]
)
def test_a_plugin_that_cannot_be_made_breaks_every_promise(error: Exception, said: str) -> None:
    def fail() -> None:
        raise error

    assert verdicts(fail) == {
        test: ("broken", f"first: {said}" if test == "test_each" else said)
        for test in ("test_a_list", "test_two", "test_each", "test_more", "test_even_more")
    }


class Departing(Two):
    @departs("twos come alone here")
    def test_two(self, made: Any) -> None:
        """It has one thing."""
        assert len(made) == 1


def test_a_departure_is_left_out_for_its_reason_and_still_has_to_pass() -> None:
    assert verdicts(lambda: [2], Departing)["test_two"] == ("left out", "twos come alone here")
    assert verdicts(lambda: [2, 2], Departing)["test_two"][0] == "broken"


class Fails(Scorer):
    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        return [1.0 / len(item.caption.split()) for item in batch]


class PeeksAtGold(Scorer):
    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        return [float(item.caption in item.gold) for item in batch]


def line_of(text: str) -> str:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return f"{Path(__file__).name} line {1 + next(at for at, line in enumerate(lines) if text in line)}"


def test_a_fault_is_told_with_the_plugins_line() -> None:
    scorer = contract_for(Fails())
    found = {verdict.test: verdict.why for verdict in check(scorer, scorer=Fails)}
    assert found["test_any_caption"] == f"empty: ZeroDivisionError: float division by zero ({line_of('1.0 / len')})"
    found = {verdict.test: verdict.why for verdict in check(scorer, scorer=PeeksAtGold) if verdict.why}
    assert found == {
        "test_only_what_is_needed_is_used": f"`gold` is used, and `needs` does not name it ({line_of('in item.gold')})"
    }


def test_a_plugin_that_ends_the_process_ends_its_test() -> None:
    assert verdicts(lambda: sys.exit("bye"))["test_a_list"] == ("broken", "SystemExit: bye")


def test_the_user_can_interrupt() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(Two, made=interrupt)


def test_a_contract_without_promises_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="could not run Contract"):
        check(Contract)


def test_the_surrounding_session_is_as_before() -> None:
    before = {name: value for name, value in os.environ.items() if name.startswith("PYTEST")}
    hooks, paths = list(sys.meta_path), list(sys.path)
    check(Two, made=lambda: [2, 2])
    assert {name: value for name, value in os.environ.items() if name.startswith("PYTEST")} == before
    assert (sys.meta_path, sys.path) == (hooks, paths)
    with pytest.raises(AssertionError, match="At index 0 diff"):  # pytest still explains what is compared
        assert [1] == [2]


@pytest.mark.parametrize(
    ("made", "contract", "fixture"),
    [
        (Exact, "ScorerContract", "scorer"),
        (WordNetConcreteness, "LayerRaterContract", "scorer"),
        (Logit, "LogitScorerContract", "scorer"),
        (Gradient, "GradientScorerContract", "scorer"),
        (Ablate, "EditContract", "edit"),
        (DemoReader, "DatasetContract", "source"),
        (JsonLines, "ListenerContract", "listener"),
    ],
)
def test_each_kind_has_its_contract(made: Any, contract: str, fixture: str) -> None:
    assert contract_for(made()) is getattr(headprune.testing, contract)
    assert fixture_for(made()) == fixture


@pytest.mark.parametrize(("base", "row"), CONTRACTS.items())
def test_the_table_names_what_there_is(base: str, row: tuple[str, str]) -> None:
    module, _, name = base.rpartition(".")
    contract, fixture = row
    assert getattr(import_module(module), name).__name__ in headprune.__all__
    assert hasattr(getattr(headprune.testing, contract), fixture)


def test_what_is_of_no_kind_has_no_contract() -> None:
    with pytest.raises(PluginError, match=r"list is of no kind .*LayerRater, Scorer,"):
        contract_for([])


HOSTILE = """
import os, sys
print("imported")

def pytest_collection_modifyitems(items):
    items.clear()
"""
ALONE = """
import os, sys
from headprune import ScoreItem, Scorer

class Loud(Scorer):
    def score(self, batch):
        print("scoring")
        os.write(1, b"scoring, says C")
        os.write(2, b"scoring, says C")
        return [float(len(item.caption)) for item in batch]

if __name__ == "__main__":
    from headprune.testing.check import check, contract_for, fixture_for
    assert "torch" not in sys.modules, "torch"
    contract = contract_for(Loud())
    found = check(contract, **{fixture_for(Loud()): Loud})
    print([(verdict.outcome, verdict.why) for verdict in found if verdict.outcome != "kept"])
"""


def test_it_says_nothing_leaves_nothing_and_heeds_nothing_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text(HOSTILE)
    (tmp_path / "hostile.py").write_text(HOSTILE)
    (tmp_path / "loud.py").write_text(ALONE)
    files = sorted(tmp_path.rglob("*"))
    temporary = tmp_path.parent / f"{tmp_path.name}-temporary"
    temporary.mkdir()
    steered = {"PYTEST_ADDOPTS": "--no-such-option -x", "PYTEST_PLUGINS": "hostile", "TMPDIR": str(temporary)}
    done = subprocess.run(
        [sys.executable, "loud.py"],
        cwd=tmp_path,
        env={**os.environ, **steered, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1 and "34.0 where caption and gold are equal, 51.0" in done.stdout
    assert sorted(tmp_path.rglob("*")) == files
    assert not list(temporary.iterdir())
