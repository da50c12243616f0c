"""The run store: what is kept, under what, and what a kill, a full disk or a damaged file does to it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from headprune.errors import ExitCode, HeadpruneError
from headprune.runs import REFERENCE, WHOLE, RunStore, canonical


def test_captions_are_kept_by_context(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        one, two = store.context({"edit": "isolate", "samples": [1]}), store.context({"edit": "ablate", "samples": [1]})
        store.add_captions(one, {("a.png", 3, 0): "a cat", ("a.png", WHOLE, REFERENCE): "two cats"})
        store.add_captions(two, {("a.png", 3, 0): "a dog"})
    with RunStore.open(tmp_path, create=False) as store:
        assert store.captions(one) == {("a.png", 3, 0): "a cat", ("a.png", WHOLE, REFERENCE): "two cats"}
        assert store.captions(two) == {("a.png", 3, 0): "a dog"}
        assert store.contexts() == {one: {"edit": "isolate", "samples": [1]}, two: {"edit": "ablate", "samples": [1]}}


def test_scores_are_kept_by_context_and_scorer(tmp_path: Path) -> None:
    key = ("a.png", 3, 0)
    with RunStore.open(tmp_path) as store:
        context, bert, cider = (
            store.context({"edit": "isolate"}),
            store.scorer({"name": "bertscore"}),
            store.scorer({"name": "cider"}),
        )
        store.add_scores(context, bert, {key: 0.1 + 0.2})
        store.add_scores(context, cider, {key: 4})
        assert store.scores(context, bert) == {key: 0.1 + 0.2}
        assert store.scores(context, cider) == {key: 4.0}
        assert store.scorers() == {bert: {"name": "bertscore"}, cider: {"name": "cider"}}


def test_a_digest_does_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        assert store.context({"a": 1, "b": 2}) == store.context({"b": 2, "a": 1})
        assert len(store.contexts()) == 1
    assert canonical({"b": 2, "a": "é"}) == '{"a":"é","b":2}'


def test_text_comes_back_as_it_was(tmp_path: Path) -> None:
    texts = ["", "  two  blanks \n", "naïve 猫 \u2028 \x00 end", "'; DROP TABLE captions; --"]
    rows = {("ø/é.png", 0, head): text for head, text in enumerate(texts)}
    with RunStore.open(tmp_path) as store:
        context = store.context({})
        store.add_captions(context, rows)
        assert store.captions(context) == rows


def test_what_is_there_stays(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        context, scorer = store.context({}), store.scorer({})
        for text, value in (("first", 1.0), ("second", 2.0)):
            store.add_captions(context, {("a", 0, 0): text})
            store.add_scores(context, scorer, {("a", 0, 0): value})
        assert store.captions(context) == {("a", 0, 0): "first"}
        assert store.scores(context, scorer) == {("a", 0, 0): 1.0}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_refused_with_its_whole_call(tmp_path: Path, value: float) -> None:
    with RunStore.open(tmp_path) as store:
        context, scorer = store.context({}), store.scorer({})
        with pytest.raises(HeadpruneError, match="sample b, layer 2, head 1 is"):
            store.add_scores(context, scorer, {("a", 2, 1): 0.5, ("b", 2, 1): value})
        assert store.scores(context, scorer) == {}


def test_a_caption_of_an_unknown_context_is_refused(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store, pytest.raises(KeyError, match="contexts holds no 000"):
        store.add_captions("0" * 64, {("a", 0, 0): "a cat"})


def test_meta_is_replaced(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        assert store.meta("seconds") is None
        store.set_meta("seconds", "1")
        store.set_meta("seconds", "2")
        assert store.meta("seconds") == "2"


def test_a_store_knows_whether_it_holds_anything(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        context = store.context({})
        store.set_meta("a", "b")
        assert store.is_empty()
        store.add_captions(context, {("a", 0, 0): ""})
        assert not store.is_empty()


KILLED = """
import os, signal, sys
from headprune.runs import RunStore
store = RunStore.open(sys.argv[1])
context = store.context({"edit": "isolate"})
for layer in range(3):
    store.add_captions(context, {("a.png", layer, head): f"caption {layer} {head}" for head in range(50)})
if sys.argv[2] == "inside":
    connection = store.connection
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO captions VALUES (?, 'a.png', 9, 0, 'half a call')", (context,))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("where", ["between", "inside"])
def test_a_kill_loses_nothing_of_the_finished_calls(tmp_path: Path, where: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), where], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    with RunStore.open(tmp_path) as store:
        captions = store.captions(store.context({"edit": "isolate"}))
        assert captions == {
            ("a.png", layer, head): f"caption {layer} {head}" for layer in range(3) for head in range(50)
        }


FULL = """
import json, resource, sys
from headprune.errors import HeadpruneError
from headprune.runs import RunStore
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
kept = 0
with RunStore.open(sys.argv[1]) as store:
    context = store.context({})
    try:
        while True:
            store.add_captions(context, {(str(kept), 0, head): "x" * 1000 for head in range(20)})
            kept += 1
    except HeadpruneError as error:
        print(json.dumps([kept, error.message, error.hint]))
"""


def test_a_full_disk_is_a_typed_error_and_keeps_the_finished_calls(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    kept, message, hint = json.loads(done.stdout)
    assert kept > 2
    assert str(tmp_path) in message
    assert "free some space" in hint
    with RunStore.open(tmp_path) as store:
        assert len(store.captions(store.context({}))) == 20 * kept


def _filled(folder: Path) -> Path:
    with RunStore.open(folder) as store:
        context = store.context({})
        store.add_captions(context, {(str(sample), 0, 0): "a cat" * 50 for sample in range(200)})
    return folder / "run.sqlite"


@pytest.mark.parametrize("keep", [10, 100, 5000])
def test_a_truncated_store_is_named_with_the_next_step(tmp_path: Path, keep: int) -> None:
    file = _filled(tmp_path)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(HeadpruneError, match=r"run\.sqlite is damaged") as caught:
        RunStore.open(tmp_path)
    assert caught.value.hint
    assert caught.value.exit_code == ExitCode.FAILED


def test_a_damaged_page_is_found_when_the_store_is_opened(tmp_path: Path) -> None:
    file = _filled(tmp_path)
    content = bytearray(file.read_bytes())
    content[-4096:] = os.urandom(4096)
    file.write_bytes(content)
    with pytest.raises(HeadpruneError, match="damaged"):
        RunStore.open(tmp_path, create=False)


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(_filled(tmp_path))
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(HeadpruneError, match=r"newer headprune \(store version 7, this one knows 1\)"):
        RunStore.open(tmp_path)


def test_anyone_elses_sqlite_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "run.sqlite")
    connection.execute("CREATE TABLE laps (seconds REAL)")
    connection.close()
    before = (tmp_path / "run.sqlite").read_bytes()
    with pytest.raises(HeadpruneError, match="not one of headprune's"):
        RunStore.open(tmp_path)
    assert (tmp_path / "run.sqlite").read_bytes() == before


def test_without_create_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(HeadpruneError, match="holds no run"):
        RunStore.open(tmp_path, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_locked_store_says_who_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **{**more, "timeout": 0.05}))
    with RunStore.open(tmp_path) as one, RunStore.open(tmp_path) as two:
        one.connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(HeadpruneError, match="locked") as caught:
            two.context({})
        assert "another process" in caught.value.hint
