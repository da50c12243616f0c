"""The file of a run's store: opened, made or brought up to date, and found to be whole; what SQLite says, worded."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from headprune.errors import HeadpruneError, notice
from headprune.runs.migrations import migrate
from headprune.runs.schema import SCHEMA, VERSION, VERSION_KEY, create, schema_of, transaction
from headprune.runs.sums import row_sum

FILE = "run.sqlite"
BROKEN = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What Python raises for a damaged file; the second where SQLite's message about it quotes what is no letter."""


class DamagedStoreError(HeadpruneError):
    """A store that SQLite cannot read, or not as a whole."""


def opened(path: Path, writing: bool) -> sqlite3.Connection:
    """A connection to the store `path`, of today's version; `writing` makes it where it is absent.

    Without `writing`, one that an older headprune wrote, or that may not be written to, is a copy in memory.
    """
    with worded(path):
        connection = connect(path) if writing or os.access(path.parent, os.W_OK) else _copied(path)
        try:
            if not writing and _version(connection) < VERSION:
                connection = _in_memory(connection)
            _prepare(path, connection, writing)
        except BaseException:
            connection.close()
            raise
    return connection


def connect(path: str | Path) -> sqlite3.Connection:
    """A connection without a transaction of its own."""
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    # A damaged letter is seen by its row's sum, and must not keep the others from being read.
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    return connection


def _in_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A copy of an open store in memory, in its place."""
    copy = connect(":memory:")
    with closing(connection):
        connection.backup(copy)
    return copy


def _copied(path: Path) -> sqlite3.Connection:
    """A copy in memory of a store where nothing may be written: SQLite cannot read its log there."""
    with TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            part = path.with_name(FILE + suffix)
            if part.is_file():
                shutil.copyfile(part, Path(folder) / part.name)
        return _in_memory(connect(Path(folder) / FILE))


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _prepare(path: Path, connection: sqlite3.Connection, writing: bool) -> None:
    """Make the tables of a new file, bring those of an old one up to date, or make sure that it is whole and ours.

    Only who writes is hindered by an index that lacks a row, or by a header that forbids it: the thorough checks are
    for `writing`.
    """
    version = _version(connection)
    recorded = _recorded_version(connection)
    if recorded is not None and recorded != version:
        raise damaged(path, "its header is not what it was")
    if version > VERSION:
        raise HeadpruneError(
            f"{path} was written by a newer headprune (store version {version}, this one knows {VERSION})",
            "upgrade headprune, or use another folder",
        )
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version == 0 and tables:
        raise HeadpruneError(f"{path} is an SQLite file, but not one of headprune's", "use another folder")
    if tables and connection.execute(f"PRAGMA {'integrity' if writing else 'quick'}_check(1)").fetchone() != ("ok",):
        raise damaged(path, "its check failed")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode not in ("wal", "memory"):
        notice(f"{path.parent} takes no write-ahead log: the store keeps a journal of mode {mode}")
    if not tables:
        with transaction(connection):
            # Another process may have been quicker.
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                create(connection)
    elif version < VERSION:
        with transaction(connection):
            migrate(connection, version)
    elif not schema_of(connection).issuperset(SCHEMA):
        raise damaged(path, "its tables are not what they were")
    elif writing:
        with transaction(connection):
            connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("PRAGMA foreign_keys = ON")


def _recorded_version(connection: sqlite3.Connection) -> int | None:
    """The version that a store's own row tells; None where there is none, as in a store of version 1."""
    try:
        found = connection.execute("SELECT value, sum FROM meta WHERE key = ?", (VERSION_KEY,)).fetchone()
    except sqlite3.OperationalError:
        return None
    return int(found[0]) if found and row_sum(VERSION_KEY, found[0]) == found[1] else None


@contextmanager
def worded(path: Path) -> Iterator[None]:
    """Turn SQLite's exceptions into a HeadpruneError with the next step; a misuse of this class stays what it is."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError):
        raise
    except sqlite3.OperationalError as error:
        if _tells_damage(path, str(error)):
            raise damaged(path, str(error)) from error
        raise HeadpruneError(f"{path}: {error}", _next_step(str(error))) from error
    except UnicodeDecodeError as error:
        raise damaged(path, error.object.decode("utf-8", "replace")) from error
    except sqlite3.DatabaseError as error:
        raise damaged(path, str(error)) from error
    except PermissionError as error:
        raise HeadpruneError(f"{path}: {error.strerror}", _next_step("")) from error


def _tells_damage(path: Path, message: str) -> bool:
    """Whether a refusal comes from a damaged header: one that names a format that is none, or forbids to write."""
    writable = all(os.access(place, os.W_OK) for place in (path, path.parent))
    return "unsupported file format" in message or ("readonly" in message and writable)


def _next_step(message: str) -> str:
    if "locked" in message:
        return "another process works in this run: wait for it, or use another folder"
    if "full" in message or "I/O" in message:
        return "free some space, then run the same command again: what was finished is kept"
    return "check that the folder is there and that you may write to it"


def damaged(path: Path, reason: str) -> DamagedStoreError:
    """The error for a damaged store."""
    return DamagedStoreError(
        f"{path} is damaged: {reason}",
        f"headprune runs resume {path.parent} keeps what is whole of it and makes the rest again",
    )
