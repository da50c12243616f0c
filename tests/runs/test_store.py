"""The run store: what is kept, under what, and what a kill, a full disk or a damaged file does to it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headprune.errors import ExitCode, HeadpruneError
from headprune.runs import REFERENCE, WHOLE, Key, RunStore, canonical
from headprune.runs.sums import row_sum


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
    connection.execute("INSERT INTO captions VALUES (NULL, 1, 1, 9, 0, 'half a call', 0)")
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
    with closing(sqlite3.connect(_filled(tmp_path))) as connection, connection:
        connection.execute("PRAGMA user_version = 7")
        connection.execute("UPDATE meta SET value = '7', sum = ? WHERE key = 'schema'", (row_sum("schema", "7"),))
    before = (tmp_path / "run.sqlite").read_bytes()
    with pytest.raises(HeadpruneError, match=r"newer headprune \(store version 7, this one knows 3\)"):
        RunStore.open(tmp_path)
    assert (tmp_path / "run.sqlite").read_bytes() == before


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


def test_a_negative_zero_is_a_zero_before_and_after(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        context, scorer = store.context({}), store.scorer({})
        store.add_scores(context, scorer, {("a", 0, 0): -0.0})
        assert str(store.scores(context, scorer)["a", 0, 0]) == "0.0"


def test_the_disk_is_waited_for_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("headprune.runs.store.time.monotonic", lambda: now)
    with RunStore.open(tmp_path) as store:
        waited = []
        for now in (100.2, 100.9, 101.0, 101.1, 101.9, 102.5, 900.0):
            store.set_meta("at", str(now))
            waited += [now] * waits(store)
        assert waited == [101.0, 102.5, 900.0]
        store.add_importances("patch", {("a", 0): [0.5]})
        assert waits(store)  # before there is a patch


def test_a_journal_of_another_mode_is_always_waited_for(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        store.connection.execute("PRAGMA journal_mode = DELETE")
        other = RunStore(store.path, store.connection)
        other.set_meta("a", "b")
        assert waits(other)


def waits(store: RunStore) -> bool:
    """Whether its last transaction waited for the disk: SQLite's FULL is 2."""
    return store.all("PRAGMA synchronous") == [(2,)]


@pytest.fixture(scope="module")
def one_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunStore]:
    """For many examples: a file of its own for each would have the disk to wait for."""
    with RunStore.open(tmp_path_factory.mktemp("store")) as store:
        yield store


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.dictionaries(st.tuples(WORDS, st.integers(-1, 99), st.integers(-1, 99)), st.tuples(WORDS, NUMBERS)),
    named=WORDS,
)
def test_any_unicode_and_any_number_come_back(
    one_store: RunStore, rows: dict[Key, tuple[str, float]], named: str
) -> None:
    captions, scores = ({key: pair[part] for key, pair in rows.items()} for part in (0, 1))
    store = one_store
    context, scorer = store.context({"prompt": named, "rows": repr(rows)}), store.scorer({named: 1})
    store.add_captions(context, captions)
    store.add_scores(context, scorer, scores)
    shares = {(sample, layer): [value, None] for (sample, layer, _), value in scores.items()}
    store.add_importances(context, shares)
    assert store.captions(context) == captions
    assert store.scores(context, scorer) == scores
    assert store.importances(context) == shares


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | WORDS,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(WORDS, part, max_size=3),
    max_leaves=6,
)
DESCRIPTIONS = st.dictionaries(WORDS, PLAIN, max_size=4)


def _alike(one: Any, other: Any) -> bool:
    """Whether two plain values are the same, kinds of numbers included."""
    if type(one) is not type(other) or (isinstance(one, dict) and one.keys() != other.keys()):
        return False
    if isinstance(one, dict):
        return all(_alike(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    return bool(one == other)


@settings(max_examples=200, deadline=None)
@given(one=DESCRIPTIONS, other=DESCRIPTIONS, data=st.data())
def test_any_difference_in_a_description_is_another_context(
    one_store: RunStore, one: dict[str, Any], other: dict[str, Any], data: st.DataObject
) -> None:
    if one and data.draw(st.booleans()):
        # As near as can be: the same but for one value, anywhere.
        other = {**one, data.draw(st.sampled_from(sorted(one))): data.draw(PLAIN)}
    context, again = one_store.context(one), one_store.context(dict(reversed(one.items())))
    assert again == context
    one_store.add_captions(context, {("a", 0, 0): "a cat"})
    if not _alike(one, other):
        assert one_store.context(other) != context
    assert one_store.contexts()[context] == one


def test_a_changed_picture_is_another_sample(tmp_path: Path) -> None:
    rows = {("a", 0, 0): "a cat", ("b", 0, 0): "a dog"}
    with RunStore.open(tmp_path) as store:
        store.see({"a": "one", "b": "one"})
        context, scorer = store.context({}), store.scorer({})
        store.add_captions(context, rows)
        store.add_scores(context, scorer, dict.fromkeys(rows, 1.0))
        store.see({"a": "two"})
        assert store.captions(context) == {("b", 0, 0): "a dog"}
        assert store.scores(context, scorer) == {("b", 0, 0): 1.0}
        store.add_captions(context, {("a", 0, 0): "a bird"})
        assert store.captions(context)["a", 0, 0] == "a bird"
        store.see({"a": "one"})
        assert store.captions(context) == rows
    with RunStore.open(tmp_path) as store:
        store.see({"a": "two", "b": "one"})
        assert store.captions(context) == {("a", 0, 0): "a bird", ("b", 0, 0): "a dog"}


WRITING = """
import sys
from headprune.runs import RunStore
with RunStore.open(sys.argv[1]) as store:
    context = store.context({})
    print("ready", flush=True)
    for sample in range(200):
        store.add_captions(context, {(str(sample), 0, head): "a cat" for head in range(5)})
"""


def test_another_process_reads_whole_calls_while_one_writes(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITING, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        seen = []
        while process.poll() is None:
            with RunStore.open(tmp_path, create=False) as store:
                seen.append(len(store.captions(store.context({}))))
    assert process.returncode == 0
    with RunStore.open(tmp_path, create=False) as store:
        seen.append(len(store.captions(store.context({}))))
    assert seen == sorted(seen) and seen[-1] == 1000
    assert all(count % 5 == 0 for count in seen)


def test_whoever_may_not_write_reads_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even what stands in the log only, where the writer was killed."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "between"], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL and (tmp_path / "run.sqlite-wal").stat().st_size
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the tests may run as root, who may write anywhere
    with RunStore.open(tmp_path, create=False) as store:
        assert len(store.captions(next(iter(store.contexts())))) == 150
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
