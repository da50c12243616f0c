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
from headprune.runs.canonical import canonical, digest_of
from headprune.runs.overview import overview
from headprune.runs.rows import results
from headprune.runs.schema import SCHEMA, VERSION, schema_of
from headprune.runs.sums import row_sum

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
SHARES = {key: -value for key, value in SCORES.items() if key[2] not in (-1, 1)}
BY_HEAD = {(sample, 2): [SHARES.get((sample, 2, head)) for head in range(4)] for sample, _, _ in SHARES}


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
    assert store.importances("p" * 64) == BY_HEAD
    return schema_of(store.connection) >= SCHEMA


def test_a_store_of_version_1_is_brought_up_to_date(old: Path) -> None:
    with RunFolder.claim(old, IDENTITY, "") as run:
        assert run.resumed and run.identity() == IDENTITY
        assert holds_all(run.store)
        assert run.store.all("PRAGMA user_version") == [(VERSION,)]
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


# What differs in version 2, as headprune wrote it until 27 November 2026.
VERSION_2 = """
DROP VIEW weighed; DROP TABLE importances;
CREATE TABLE importances (
    id INTEGER PRIMARY KEY,
    patch TEXT NOT NULL, sample_id INTEGER NOT NULL REFERENCES samples,
    layer INTEGER NOT NULL, head INTEGER NOT NULL, value REAL NOT NULL, sum INTEGER NOT NULL,
    UNIQUE (patch, sample_id, layer, head));
PRAGMA user_version = 2;
"""


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A run folder with a store of version 2; one of its importances is damaged."""
    run = tmp_path / "run"
    patch = "p" * 64
    with RunFolder.claim(run, IDENTITY, "") as claimed:
        store = claimed.store
        store.add_captions(store.context(CONTEXTS[0]), CAPTIONS)
        store.add_scores(CONTEXT, store.scorer(SCORERS[0]), SCORES)
    with closing(sqlite3.connect(run / "run.sqlite")) as connection, connection:
        connection.executescript(VERSION_2)
        connection.execute("UPDATE meta SET value = '2', sum = ? WHERE key = 'schema'", (row_sum("schema", "2"),))
        ids = dict(connection.execute("SELECT name, id FROM samples"))
        for (sample, layer, head), value in SHARES.items():
            total = row_sum(patch, sample, "", layer, head, value) + (sample == "pictüre 1" and head == 3)
            row = (patch, ids[sample], layer, head, value, total)
            connection.execute("INSERT INTO importances VALUES (NULL, ?, ?, ?, ?, ?, ?)", row)
    return run


def test_a_store_of_version_2_is_brought_up_to_date(second: Path) -> None:
    whole = {**BY_HEAD, ("pictüre 1", 2): BY_HEAD["pictüre 1", 2][:3]}
    with RunStore.open(second, create=False) as store:  # a copy in memory
        assert store.importances("p" * 64) == whole
    with closing(sqlite3.connect(second / "run.sqlite")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    with RunFolder.claim(second, IDENTITY, "") as run:
        store = run.store
        assert store.captions(CONTEXT) == CAPTIONS and store.scores(CONTEXT, SCORER) == SCORES
        assert store.importances("p" * 64) == whole
        assert schema_of(store.connection) == SCHEMA
        assert store.all("PRAGMA integrity_check") == [("ok",)] and store.all("PRAGMA foreign_key_check") == []
    with RunFolder.claim(second, IDENTITY, "") as run:
        assert run.store.importances("p" * 64) == whole


CUT = """
import os, signal, sys
import headprune.runs.migrations as migrations
import headprune.runs.schema as schema
left, row_sum = int(sys.argv[2]), schema.row_sum
def counted(*values):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return row_sum(*values)
migrations.row_sum = schema.row_sum = counted
from headprune.runs import RunStore
RunStore.open(sys.argv[1])
"""


@pytest.mark.parametrize("rows", [0, 1, 10, 20, 33, 34])
def test_a_migration_that_is_killed_has_not_begun(old: Path, rows: int) -> None:
    """After so many of its 35 rows; the last is the new version."""
    done = subprocess.run([sys.executable, "-c", CUT, str(old), str(rows)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    with closing(sqlite3.connect(old / "run.sqlite")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM captions WHERE sample = 'pictüre 1'").fetchone() == (5,)
    with RunStore.open(old) as store:
        assert holds_all(store)
