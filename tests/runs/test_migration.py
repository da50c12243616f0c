"""A store that an older headprune wrote: brought up to date whole or not at all, and read without a change."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from headprune.runs import RunFolder, RunStore
from headprune.runs.overview import overview
from headprune.runs.rows import results
from headprune.runs.schema import SCHEMA, schema_of
from headprune.runs.store import canonical, digest_of

# As headprune wrote it before 26 November 2026.
VERSION_1 = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contexts (digest TEXT PRIMARY KEY, description TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scorers (digest TEXT PRIMARY KEY, description TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS captions (
    context TEXT NOT NULL REFERENCES contexts, sample TEXT NOT NULL, layer INTEGER NOT NULL, head INTEGER NOT NULL,
    text TEXT NOT NULL, PRIMARY KEY (context, sample, layer, head)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scores (
    context TEXT NOT NULL REFERENCES contexts, scorer TEXT NOT NULL REFERENCES scorers,
    sample TEXT NOT NULL, layer INTEGER NOT NULL, head INTEGER NOT NULL,
    value REAL NOT NULL, PRIMARY KEY (context, scorer, sample, layer, head)) WITHOUT ROWID;
PRAGMA journal_mode = WAL;
PRAGMA user_version = 1;
"""
IDENTITY = {"model": "demo", "samples": 3}
CONTEXTS = {"edit": {"name": "isolate"}}, {"importances_of": "p" * 64}
SCORERS = {"name": "cider"}, {"name": "importance"}
(CONTEXT, IN_PLACE), (SCORER, NONE) = ([digest_of(canonical(one)) for one in two] for two in (CONTEXTS, SCORERS))
CAPTIONS = {(f"pictüre {sample}", 2, head): f"a cat {sample} {head}" for sample in range(3) for head in range(-1, 4)}
SCORES = {key: index / 7 for index, key in enumerate(CAPTIONS)}
SHARES = {key: -value for key, value in SCORES.items()}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A run folder with a store of version 1; importances lay in a context of their own then."""
    run = tmp_path / "run"
    run.mkdir()
    with closing(sqlite3.connect(run / "run.sqlite")) as connection, connection:
        connection.executescript(VERSION_1)
        connection.execute("INSERT INTO meta VALUES ('identity', ?)", (json.dumps(IDENTITY, separators=(",", ":")),))
        for table, descriptions in (("contexts", CONTEXTS), ("scorers", SCORERS)):
            for text in map(canonical, descriptions):
                connection.execute(f"INSERT INTO {table} VALUES (?, ?)", (digest_of(text), text))
        for (sample, layer, head), text in CAPTIONS.items():
            connection.execute("INSERT INTO captions VALUES (?, ?, ?, ?, ?)", (CONTEXT, sample, layer, head, text))
        for context, scorer, values in ((CONTEXT, SCORER, SCORES), (IN_PLACE, NONE, SHARES)):
            for (sample, layer, head), value in values.items():
                row = (context, scorer, sample, layer, head, value)
                connection.execute("INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?)", row)
    return run


def holds_all(store: RunStore) -> bool:
    assert store.captions(CONTEXT) == CAPTIONS
    assert store.scores(CONTEXT, SCORER) == SCORES
    assert store.importances("p" * 64) == {key: value + 0.0 for key, value in SHARES.items()}
    return schema_of(store.connection) >= SCHEMA


def test_a_store_of_version_1_is_brought_up_to_date(old: Path) -> None:
    with RunFolder.claim(old, IDENTITY, "") as run:
        assert run.resumed and run.identity() == IDENTITY
        assert holds_all(run.store)
        assert run.store.all("PRAGMA user_version") == [(2,)]
        assert run.store.all("PRAGMA integrity_check") == [("ok",)]
        assert run.store.all("PRAGMA foreign_key_check") == []
    with RunStore.open(old) as store:
        assert holds_all(store)


def test_what_it_holds_is_not_taken_for_results_on_todays_pictures(old: Path) -> None:
    with RunStore.open(old) as store:
        store.see({sample: "hash" for sample, _, _ in CAPTIONS})
        assert store.captions(CONTEXT) == {}
        store.add_captions(CONTEXT, {("pictüre 0", 2, 0): "anew"})
        assert store.captions(CONTEXT) == {("pictüre 0", 2, 0): "anew"}


def test_to_look_at_it_changes_nothing(old: Path) -> None:
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    with RunStore.open(old, create=False) as store:
        assert holds_all(store)
        assert {(row[0], row[2], row[3]): row[7] for row in results(store).rows} == CAPTIONS
        assert {(row[0], row[2], row[3]): row[10] for row in results(store).rows} == SCORES
    assert overview(old).state.value == "stopped"
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before


CUT = """
import os, signal, sys
import headprune.runs.schema as schema
left, row_sum = int(sys.argv[2]), schema.row_sum
def counted(*values):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return row_sum(*values)
schema.row_sum = counted
from headprune.runs import RunStore
RunStore.open(sys.argv[1])
"""


@pytest.mark.parametrize("rows", [0, 1, 10, 20, 40, 46])
def test_a_migration_that_is_killed_has_not_begun(old: Path, rows: int) -> None:
    """After so many of its 47 rows; the last is the new version."""
    done = subprocess.run([sys.executable, "-c", CUT, str(old), str(rows)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    with closing(sqlite3.connect(old / "run.sqlite")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM captions WHERE sample = 'pictüre 1'").fetchone() == (5,)
    with RunStore.open(old) as store:
        assert holds_all(store)
