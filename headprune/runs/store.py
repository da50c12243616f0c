"""Captions and scores of a run in one SQLite file, keyed by everything that determines them.

A caption belongs to a `context`: a description, kept as canonical JSON, of all that shaped it but its place (model and
revision, data, edit, decode point, generation ...). A score belongs to a context and to a scorer's description. What
was computed under another description is therefore never taken for the present one.

Every call that writes is one transaction: a process that is killed loses the call it was in and nothing before it.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from headprune.errors import HeadpruneError

FILE = "run.sqlite"
VERSION = 1
WHOLE = -1
"""The layer of a caption that the whole model made."""
REFERENCE = -1
"""The head of a caption that the unchanged model made."""
Key = tuple[str, int, int]
"""Sample id, layer, head; layer and head 0-based, or WHOLE and REFERENCE."""

_SCHEMA = """
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
"""


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    Raises:
        TypeError, ValueError: the value is not plain JSON (NaN and infinities included).
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class RunStore:
    """The store of one run folder; made with `open`, used in a `with` block."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, folder: str | Path, create: bool = True) -> RunStore:
        """Open the store of `folder`, which exists; with `create` an absent store is made.

        Raises:
            HeadpruneError: there is no store (without `create`), it is damaged, or a newer headprune wrote it.
        """
        path = Path(folder).absolute() / FILE
        if not create and not path.is_file():
            raise HeadpruneError(
                f"{folder} holds no run: there is no {FILE} in it", "name a folder that `headprune score` wrote"
            )
        with _worded(path):
            connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        try:
            with _worded(path):
                _prepare(path, connection)
        except BaseException:
            connection.close()
            raise
        return cls(path, connection)

    def __enter__(self) -> RunStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a store cannot be used afterwards."""
        self._connection.close()

    def context(self, description: Mapping[str, Any]) -> str:
        """Store what determines captions and return its digest, under which they are added."""
        return self._describe("contexts", description)

    def scorer(self, description: Mapping[str, Any]) -> str:
        """Store what determines a scorer's scores and return its digest."""
        return self._describe("scorers", description)

    def contexts(self) -> dict[str, Any]:
        """Every stored context's description by its digest."""
        return self._descriptions("contexts")

    def scorers(self) -> dict[str, Any]:
        """Every stored scorer's description by its digest."""
        return self._descriptions("scorers")

    def add_captions(self, context: str, rows: Mapping[Key, str]) -> None:
        """Store captions. A caption that is there already stays as it is."""
        values = [(context, sample, int(layer), int(head), text) for (sample, layer, head), text in rows.items()]
        self._add("INSERT INTO captions VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values)

    def captions(self, context: str) -> dict[Key, str]:
        """The stored captions of a context."""
        found = self._all("SELECT sample, layer, head, text FROM captions WHERE context = ?", context)
        return {(sample, layer, head): text for sample, layer, head, text in found}

    def add_scores(self, context: str, scorer: str, rows: Mapping[Key, float]) -> None:
        """Store scores. A score that is there already stays as it is.

        Raises:
            HeadpruneError: a score is not finite; nothing of the call is stored then.
        """
        values = []
        for (sample, layer, head), value in rows.items():
            if not math.isfinite(value):
                raise HeadpruneError(
                    f"the score of sample {sample}, layer {layer}, head {head} is {value}", "check the scorer"
                )
            values.append((context, scorer, sample, int(layer), int(head), float(value)))
        self._add("INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values)

    def scores(self, context: str, scorer: str) -> dict[Key, float]:
        """The stored scores of a context by one scorer."""
        query = "SELECT sample, layer, head, value FROM scores WHERE context = ? AND scorer = ?"
        return {(sample, layer, head): value for sample, layer, head, value in self._all(query, context, scorer)}

    def set_meta(self, key: str, value: str) -> None:
        """Store one word about the run, in the place of what stood under `key`."""
        self._add("INSERT OR REPLACE INTO meta VALUES (?, ?)", [(key, value)])

    def meta(self, key: str) -> str | None:
        """What stands under `key`."""
        found = self._all("SELECT value FROM meta WHERE key = ?", key)
        return str(found[0][0]) if found else None

    def is_empty(self) -> bool:
        """Whether no caption and no score has been stored."""
        return not self._all("SELECT 1 FROM captions UNION ALL SELECT 1 FROM scores LIMIT 1")

    def _describe(self, table: str, description: Mapping[str, Any]) -> str:
        text = canonical(dict(description))
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._add(f"INSERT INTO {table} VALUES (?, ?) ON CONFLICT DO NOTHING", [(digest, text)])  # noqa: S608
        return digest

    def _descriptions(self, table: str) -> dict[str, Any]:
        return {digest: json.loads(text) for digest, text in self._all(f"SELECT * FROM {table}")}  # noqa: S608

    def _add(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        with _worded(self.path), _transaction(self._connection):
            self._connection.executemany(statement, rows)

    def _all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with _worded(self.path), closing(self._connection.execute(query, values)) as cursor:
            return cursor.fetchall()


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    """Make the tables of a new file, or make sure that an old one is whole and ours."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise HeadpruneError(
            f"{path} was written by a newer headprune (store version {version}, this one knows {VERSION})",
            "upgrade headprune, or choose another --out",
        )
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version < VERSION and tables:
        raise HeadpruneError(f"{path} is an SQLite file, but not one of headprune's", "choose another --out")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
    if not tables:
        with _transaction(connection):  # IF NOT EXISTS: another process may have been quicker
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
    elif connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise _damaged(path, "its check failed")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has SQLite end the transaction by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _worded(path: Path) -> Iterator[None]:
    """Turn SQLite's exceptions into a HeadpruneError with the next step; a misuse of this class stays what it is."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError):
        raise
    except sqlite3.OperationalError as error:
        raise HeadpruneError(f"{path}: {error}", _next_step(str(error))) from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error


def _next_step(message: str) -> str:
    if "locked" in message:
        return "another process works in this run: wait for it, or choose another --out"
    if "full" in message or "I/O" in message:
        return "free some space, then run the same command again: what was finished is kept"
    return "check that the folder is there and that you may write to it"


def _damaged(path: Path, reason: str) -> HeadpruneError:
    return HeadpruneError(f"{path} is damaged: {reason}", "move the run folder away and run the same command again")
