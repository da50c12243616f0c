"""The tables of a run's store.

The file is meant to be read by others, too (sqlite3, Datasette): `docs/store.md` describes it, and what stands here
changes only together with VERSION and a migration.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from headprune.runs.sums import row_sum

VERSION = 3
VERSION_KEY = "schema"
"""Where `meta` tells the version once more, with a sum: a header is as easily damaged as anything."""

# All of it fits the first page of the file, which a repair puts in the place of a broken one.
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE samples (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, picture TEXT NOT NULL, UNIQUE (name, picture));
CREATE TABLE contexts (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, description TEXT NOT NULL);
CREATE TABLE scorers (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, description TEXT NOT NULL);
CREATE TABLE captions (
  id INTEGER PRIMARY KEY,
  context_id INTEGER NOT NULL REFERENCES contexts, sample_id INTEGER NOT NULL REFERENCES samples,
  layer INTEGER NOT NULL, head INTEGER NOT NULL, text TEXT NOT NULL, sum INTEGER NOT NULL,
  UNIQUE (context_id, sample_id, layer, head));
CREATE TABLE scores (
  id INTEGER PRIMARY KEY,
  context_id INTEGER NOT NULL REFERENCES contexts, sample_id INTEGER NOT NULL REFERENCES samples,
  layer INTEGER NOT NULL, head INTEGER NOT NULL, scorer_id INTEGER NOT NULL REFERENCES scorers,
  value REAL NOT NULL, sum INTEGER NOT NULL,
  UNIQUE (context_id, sample_id, layer, head, scorer_id));
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, state TEXT NOT NULL,
  host TEXT NOT NULL, process INTEGER NOT NULL, user TEXT NOT NULL, folder TEXT NOT NULL,
  environment TEXT NOT NULL, seconds REAL NOT NULL);
CREATE TABLE stages (
  id INTEGER PRIMARY KEY, session_id INTEGER NOT NULL REFERENCES sessions, stage TEXT NOT NULL,
  total INTEGER NOT NULL, reused INTEGER NOT NULL, made INTEGER NOT NULL, seconds REAL NOT NULL,
  UNIQUE (session_id, stage));
CREATE TABLE errors (
  id INTEGER PRIMARY KEY, session_id INTEGER NOT NULL REFERENCES sessions, at TEXT NOT NULL,
  kind TEXT NOT NULL, sample TEXT, message TEXT NOT NULL, hint TEXT NOT NULL);
"""
IMPORTANCES = """
CREATE TABLE importances (
  id INTEGER PRIMARY KEY,
  patch TEXT NOT NULL, sample_id INTEGER NOT NULL REFERENCES samples,
  layer INTEGER NOT NULL, by_head TEXT NOT NULL, sum INTEGER NOT NULL,
  UNIQUE (patch, sample_id, layer));
CREATE VIEW weighed AS
  SELECT name AS sample, layer, key AS head, value AS importance, patch, sample_id
  FROM importances JOIN samples ON samples.id = sample_id, json_each(iif(json_valid(by_head), by_head, '[]'))
  WHERE value IS NOT NULL;
"""
VIEWS = """
CREATE VIEW said AS
  SELECT samples.name AS sample, captions.layer, captions.head, captions.text AS caption,
  json_extract(contexts.description, '$.decode_at') AS decode_at,
  json_extract(contexts.description, '$.edit.name') AS edit,
  captions.context_id, captions.sample_id
  FROM captions JOIN samples ON samples.id = sample_id JOIN contexts ON contexts.id = context_id;
CREATE VIEW scored AS
  SELECT samples.name AS sample, scores.layer, scores.head, scores.value AS score,
  json_extract(scorers.description, '$.name') AS scorer,
  json_extract(contexts.description, '$.decode_at') AS decode_at,
  json_extract(contexts.description, '$.edit.name') AS edit,
  captions.text AS caption, scores.context_id, scores.sample_id
  FROM scores JOIN samples ON samples.id = scores.sample_id JOIN contexts ON contexts.id = scores.context_id
  JOIN scorers ON scorers.id = scores.scorer_id
  LEFT JOIN captions USING (context_id, sample_id, layer, head);
"""


def create(connection: sqlite3.Connection) -> None:
    """Make the tables and views in an empty file; call it within a transaction."""
    execute(connection, TABLES + IMPORTANCES + VIEWS)
    tell_version(connection)


def schema_of(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """(name, statement) of every table and view, however its lines are broken."""
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {(name, " ".join(str(sql).split())) for name, sql in found}


def _todays() -> set[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        create(connection)
        return schema_of(connection)


def tell_version(connection: sqlite3.Connection) -> None:
    """Write down, in the header and in `meta`, that these are today's tables; call it within a transaction."""
    connection.execute(f"PRAGMA user_version = {VERSION}")
    values = (VERSION_KEY, str(VERSION), row_sum(VERSION_KEY, str(VERSION)))
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", values)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is written within the block, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has SQLite end the transaction by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def execute(connection: sqlite3.Connection, statements: str) -> None:
    """Execute statements that hold no semicolon themselves, within the transaction that is open."""
    for statement in statements.split(";"):
        connection.execute(statement)


SCHEMA = _todays()
"""What a store of today's version holds, whatever else somebody may have put into it."""
