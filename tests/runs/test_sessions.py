"""What a run tells of how it was made, whatever the clock says."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import headprune.runs.sessions as module
from headprune.errors import DataError, HeadpruneError, SampleError
from headprune.runs import RunFolder
from headprune.runs.overview import State, overview
from headprune.runs.rows import results
from headprune.runs.sessions import Log

IDENTITY = {"model": "demo"}


def log_of(run: RunFolder) -> Log:
    assert run.store.log
    return run.store.log


def add(run: RunFolder, *samples: str, context: Any = None) -> None:
    rows = {(sample, 0, 0): f"a {sample}" for sample in samples}
    run.store.add_captions(run.store.context(context or {}), rows)


def test_a_clock_that_is_set_back_changes_nothing_but_the_times_that_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for year, sample in ((2031, "cat"), (1999, "dog"), (2026, "bird")):
        now = f"{year}-01-01T00:00:00+00:00"
        monkeypatch.setattr(module, "_now", lambda now=now: now)
        with RunFolder.claim(tmp_path / "run", IDENTITY, "") as run, log_of(run).stage("captions", 3, 0):
            add(run, sample)
    found = overview(tmp_path / "run")
    assert [one.started[:4] for one in found.sessions] == ["2031", "1999", "2026"]
    assert [one.last[:4] for one in found.sessions] == ["2031", "1999", "2026"]
    assert all(0 <= one.seconds < 60 for one in found.sessions)
    assert [row[7] for row in results(RunFolder.open(tmp_path / "run").store).rows] == ["a cat", "a dog", "a bird"]
    assert found.state is State.FINISHED


def test_when_a_session_was_last_at_work(tmp_path: Path) -> None:
    before = datetime.now(timezone.utc).replace(microsecond=0)
    with RunFolder.claim(tmp_path / "run", IDENTITY, "") as run, log_of(run).stage("captions", 1, 0):
        add(run, "cat")
    last = datetime.fromisoformat(overview(tmp_path / "run").sessions[0].last)
    assert before <= last <= datetime.now(timezone.utc) + timedelta(seconds=1)


def test_stages_are_counted_as_they_go(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path / "run", IDENTITY, "") as run:
        with log_of(run).stage("captions", 10, 4):
            add(run, "cat", "dog")
            seen = overview(tmp_path / "run")
            assert (seen.state, seen.progress) == (State.RUNNING, (6, 10))
            add(run, "dog", "bird")  # one of them is there already
        add(run, "fish")  # of no stage
        with log_of(run).stage("scores", 5, 0):
            pass
    (session,) = overview(tmp_path / "run").sessions
    assert [(one.stage, one.total, one.reused, one.made) for one in session.stages] == [
        ("captions", 10, 4, 3),
        ("scores", 5, 0, 0),
    ]
    assert 0 < session.stages[0].seconds <= session.seconds
    assert overview(tmp_path / "run").progress == (7, 15)


def test_a_stage_that_begins_again_goes_on(tmp_path: Path) -> None:
    """After a sample was left out: what this session made is not reused."""
    with RunFolder.claim(tmp_path / "run", IDENTITY, "") as run:
        with pytest.raises(SampleError), log_of(run).stage("captions", 10, 2):
            add(run, "cat", "dog")
            raise SampleError("bird", "it is cut short")
        with log_of(run).stage("captions", 8, 4):
            add(run, "fish", "frog", "toad", "newt")
    (stage,) = overview(tmp_path / "run").sessions[0].stages
    assert (stage.total, stage.reused, stage.made) == (8, 2, 6)
    assert overview(tmp_path / "run").progress == (8, 8)


def test_progress_is_told_over_sessions(tmp_path: Path) -> None:
    """A stage that an earlier session finished is not begun again, and counts."""
    with pytest.raises(KeyboardInterrupt), RunFolder.claim(tmp_path / "run", IDENTITY, "") as run:
        with log_of(run).stage("captions", 2, 0):
            add(run, "cat", "dog")
        with log_of(run).stage("scores", 2, 0):
            raise KeyboardInterrupt
    found = overview(tmp_path / "run")
    assert (found.state, found.progress) == (State.INTERRUPTED, (2, 4))
    with RunFolder.claim(tmp_path / "run", IDENTITY, "") as run, log_of(run).stage("scores", 2, 0):
        context, scorer = run.store.context({}), run.store.scorer({})
        run.store.add_scores(context, scorer, {("cat", 0, 0): 1, ("dog", 0, 0): 1})
    found = overview(tmp_path / "run")
    assert (found.state, found.progress) == (State.FINISHED, (4, 4))


def test_what_went_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError), RunFolder.claim(tmp_path / "run", IDENTITY, "") as run:
        add(run, "cat")
        log_of(run).error(SampleError("bird", "it is cut short", "mend it"), "bird")
        raise DataError("too many are cut short", "mend them")
    found = overview(tmp_path / "run")
    assert (found.state, found.why) == (State.FAILED, "too many are cut short")
    assert found.left_out == {"bird": "sample bird: it is cut short"}
    errors = found.sessions[0].errors
    assert [(one.kind, one.sample, one.hint) for one in errors] == [
        ("SampleError", "bird", "mend it"),
        ("DataError", None, "mend them"),
    ]


def test_no_key_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", "hush-hush-hush")
    error = HeadpruneError("the server says: hush-hush-hush is unknown", "export JUDGE_API_KEY=hush-hush-hush")
    with pytest.raises(HeadpruneError), RunFolder.claim(tmp_path / "run", {}, "") as run:
        add(run, "a.png")
        raise error
    (session,) = overview(tmp_path / "run").sessions
    assert [(told.message, told.hint) for told in session.errors] == [
        ("the server says: *** is unknown", "export JUDGE_API_KEY=***")
    ]
    assert b"hush-hush" not in (tmp_path / "run" / "run.sqlite").read_bytes()


def test_results_of_other_settings_are_told_apart(tmp_path: Path) -> None:
    old, new = {"torch": "2.4"}, {"torch": "2.13"}
    with RunFolder.claim(tmp_path / "run", IDENTITY, "", {"versions": old}) as run:
        add(run, "cat", "dog", context={"versions": old, "coefficients": "1"})
    with RunFolder.claim(tmp_path / "run", IDENTITY, "", {"versions": new}) as run:
        add(run, "cat", context={"versions": new, "coefficients": "1"})
        add(run, "dog", "bird", context={"versions": new, "coefficients": "2"})
    held = overview(tmp_path / "run").held
    assert [(one.captions, one.present, one.description) for one in held] == [
        (2, False, {"versions": old}),
        (3, True, {"versions": new}),
    ]


def test_a_run_that_was_killed_before_it_had_a_store_is_one(tmp_path: Path) -> None:
    (tmp_path / "run.lock").touch()
    assert overview(tmp_path).state is State.STOPPED


def test_a_damaged_session_is_shown_as_far_as_it_can_be(tmp_path: Path) -> None:
    with RunFolder.claim(tmp_path / "run", IDENTITY, "") as run:
        add(run, "cat")
        run.store.write("UPDATE sessions SET started = ?, environment = ?, state = ?", [("once", "{", "well")])
    with RunFolder.open(tmp_path / "run") as run:
        run.store.write("UPDATE sessions SET state = ?", [("well",)])
    found = overview(tmp_path / "run")
    assert (found.sessions[0].last, found.sessions[0].environment, found.state) == ("once", {}, State.STOPPED)


def test_a_disk_that_is_full_does_not_hide_why_a_run_failed(tmp_path: Path) -> None:
    with pytest.raises(HeadpruneError, match="the model is gone"), RunFolder.claim(tmp_path / "r", IDENTITY, "") as run:
        add(run, "cat")
        run.store.connection.execute("PRAGMA max_page_count = 1")
        run.store.connection.execute("PRAGMA query_only = ON")
        raise HeadpruneError("the model is gone")
    assert overview(tmp_path / "r").state is State.STOPPED
