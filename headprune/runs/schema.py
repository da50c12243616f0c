"""The tables of a run's store, and how a store that an older headprune wrote becomes one of today's.

The file is meant to be read by others, too (sqlite3, Datasette): `docs/store.md` describes it, and what stands here
changes only together with VERSION and a migration.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from headprune.runs.sums import row_sum

VERSION = 2
VERSION_KEY = "schema"
"""Where `meta` tells the version once more, with a sum: a header is as easily damaged as anything."""

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
CREATE TABLE importances (
    id INTEGER PRIMARY KEY,
    patch TEXT NOT NULL, sample_id INTEGER NOT NULL REFERENCES samples,
    layer INTEGER NOT NULL, head INTEGER NOT NULL, value REAL NOT NULL, sum INTEGER NOT NULL,
    UNIQUE (patch, sample_id, layer, head));
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
    _execute(connection, TABLES + VIEWS)
    _tell_version(connection)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a store of an older `version` to today's; call it within a transaction."""
    for known in range(version, VERSION):
        MIGRATIONS[known](connection)
    _tell_version(connection)


def schema_of(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """(name, statement) of every table and view."""
    return {(name, sql) for name, sql in connection.execute("SELECT name, sql FROM sqlite_master") if sql}


def _todays() -> set[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        create(connection)
        return schema_of(connection)


def _tell_version(connection: sqlite3.Connection) -> None:
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


def _execute(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";"):
        connection.execute(statement)


def _from_1_to_2(connection: sqlite3.Connection) -> None:
    """Version 1 knew samples by name only, and importances as scores of a context of their own.

    Which pictures its captions were made of it told all at once: they stay to be read, under a picture without a hash,
    and are not taken for those of today's pictures.
    """
    for table in ("meta", "contexts", "scorers", "captions", "scores"):
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    _execute(connection, TABLES + VIEWS)
    connection.create_function("row_sum", -1, row_sum, deterministic=True)
    _execute(
        connection,
        """
        INSERT INTO meta SELECT key, value, row_sum(key, value) FROM old_meta;
        INSERT INTO contexts (digest, description) SELECT digest, description FROM old_contexts
            WHERE json_extract(description, '$.importances_of') IS NULL;
        INSERT INTO scorers (digest, description) SELECT digest, description FROM old_scorers;
        INSERT INTO samples (name, picture) SELECT sample, '' FROM old_captions UNION SELECT sample, '' FROM old_scores;
        INSERT INTO captions (context_id, sample_id, layer, head, text, sum)
            SELECT contexts.id, samples.id, layer, head, text, row_sum(context, sample, '', layer, head, text)
            FROM old_captions JOIN contexts ON digest = context JOIN samples ON name = sample;
        INSERT INTO scores (context_id, sample_id, layer, head, scorer_id, value, sum)
            SELECT contexts.id, samples.id, layer, head, scorers.id, value,
                row_sum(context, sample, '', layer, head, scorer, value)
            FROM old_scores JOIN contexts ON contexts.digest = context JOIN samples ON name = sample
                JOIN scorers ON scorers.digest = scorer;
        INSERT INTO importances (patch, sample_id, layer, head, value, sum)
            SELECT json_extract(description, '$.importances_of'), samples.id, layer, head, value,
                row_sum(json_extract(description, '$.importances_of'), sample, '', layer, head, value)
            FROM old_scores JOIN old_contexts ON digest = context JOIN samples ON name = sample
            WHERE json_extract(description, '$.importances_of') IS NOT NULL;
        DROP TABLE old_scores; DROP TABLE old_captions; DROP TABLE old_scorers; DROP TABLE old_contexts;
        DROP TABLE old_meta""",
    )


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _from_1_to_2}
SCHEMA = _todays()
"""What a store of today's version holds, whatever else somebody may have put into it."""
