"""A damaged store: it is put aside, and what is whole of it goes into a new one."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headprune.runs.canonical import digest_of
from headprune.runs.opening import BROKEN, FILE, connect, worded
from headprune.runs.schema import transaction
from headprune.runs.sessions import COLUMNS as SESSION
from headprune.runs.store import RunStore
from headprune.runs.sums import row_sum

COLUMNS = {
    "meta": ("key", "value", "sum"),
    "samples": ("id", "name", "picture"),
    "contexts": ("id", "digest", "description"),
    "scorers": ("id", "digest", "description"),
    "captions": ("id", "context_id", "sample_id", "layer", "head", "text", "sum"),
    "scores": ("id", "context_id", "sample_id", "layer", "head", "scorer_id", "value", "sum"),
    "importances": ("id", "patch", "sample_id", "layer", "by_head", "sum"),
    "sessions": SESSION,
    "stages": ("id", "session_id", "stage", "total", "reused", "made", "seconds"),
    "errors": ("id", "session_id", "at", "kind", "sample", "message", "hint"),
}
"""Every table, each behind those that it refers to."""
_SUMMED = {
    "captions": ("context_id", "sample_id", "layer", "head", "text"),
    "scores": ("context_id", "sample_id", "layer", "head", "scorer_id", "value"),
    "importances": ("patch", "sample_id", "layer", "by_head"),
}
_OWNER = {"context_id": "contexts", "sample_id": "samples", "scorer_id": "scorers"}
_BESIDE = ("-wal", "-shm", "-journal")
# Under which `meta` tells how many damaged stores were looked through.
_REPAIRED = "repaired"
# Of an SQLite file, in bytes.
_HEADER = 100
# The least that a row takes up, in bytes.
_ROW = 24
Row = tuple[Any, ...]


def repair(folder: Path, number: int = 0) -> RunStore:
    """Put the damaged store of `folder`, which is locked, aside, and open a new one with every row whose sum matches.

    Args:
        folder: of the run.
        number: of the damaged store that is put aside already, as `unfinished` says where a repair was cut off.

    Raises:
        HeadpruneError: the folder cannot be written.
    """
    if not number:
        number = last_aside(folder) + 1
        _move(folder, number, "")
    if not (folder / FILE).exists():
        # Behind the file itself: before it, SQLite would take what the file holds without its log for all there is.
        for suffix in _BESIDE:
            if (folder / (FILE + suffix)).exists():
                _move(folder, number, suffix)
    aside = _place(folder, number, "")
    store = RunStore.open(folder)
    try:
        with worded(aside), _readable(aside, store) as whole:
            kept = _salvage(whole, store, number)
    except BaseException:
        store.close()
        raise
    told = ", ".join(f"{number} {what}" for what, number in kept.items()) or "nothing"
    store.mended = (
        f"{FILE} was damaged: {told} could be kept, the rest is made again; the damaged file is now {aside.name}"
    )
    return store


def unfinished(folder: Path) -> int:
    """Which of the damaged stores that were put aside in `folder` is still to be looked through; 0 is none.

    Raises:
        HeadpruneError: the store cannot be read.
    """
    last = last_aside(folder)
    if not last or not (folder / FILE).exists():
        return last
    with RunStore.open(folder, create=False) as store:
        return 0 if int(store.meta(_REPAIRED) or 0) >= last else last


def last_aside(folder: Path) -> int:
    """How many damaged stores were put aside in `folder`."""
    numbers = (path.name.rpartition("-")[2] for path in folder.glob(f"{FILE}.damaged-*"))
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _place(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"{FILE}.damaged-{number}{suffix}"


def _move(folder: Path, number: int, suffix: str) -> None:
    (folder / (FILE + suffix)).rename(_place(folder, number, suffix))


@contextmanager
def _readable(aside: Path, store: RunStore) -> Iterator[_Whole]:
    """What is whole of a damaged store. Where it does not say, as `store` does, which is new, what its tables are and
    where they begin: of it, or of a copy that begins as `store` does, whichever gives the most results."""
    with TemporaryDirectory() as folder, ExitStack() as opened:

        def whole(path: Path) -> _Whole:
            return _Whole(opened.enter_context(closing(_leniently(path))), aside.stat().st_size)

        found = whole(aside)
        if not found.begins_as(store):
            copies = (_with_beginning_of(store, page, aside, Path(folder)) for page in (False, True))
            found = max([found, *map(whole, copies)], key=_Whole.results)
        yield found


def _leniently(path: Path) -> sqlite3.Connection:
    connection = connect(path)
    # It then reads a file, too, that is shorter than its header says.
    connection.execute("PRAGMA writable_schema = ON")
    return connection


def _with_beginning_of(store: RunStore, whole_page: bool, aside: Path, folder: Path) -> Path:
    """A copy with the header, or the whole first page, of `store`."""
    store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ((size,),) = store.all("PRAGMA page_size")
    beginning = bytearray(store.path.read_bytes()[: size if whole_page else _HEADER])
    # Pages in all, and none of them unused.
    beginning[28:40] = (aside.stat().st_size // size).to_bytes(4, "big") + bytes(8)
    copy = folder / ("page" if whole_page else "header")
    for suffix in ("", _BESIDE[0]):
        part = aside.with_name(aside.name + suffix)
        if part.exists():
            shutil.copyfile(part, copy.with_name(copy.name + suffix))
    with copy.open("rb+") as file:
        file.write(beginning)
    return copy


def _salvage(whole: _Whole, store: RunStore, number: int) -> dict[str, int]:
    """Copy every row that is whole, in one transaction; return how many results of each kind."""
    with worded(store.path), transaction(store.connection):
        kept = {table: _copy(store.connection, table, whole.rows(table)) for table in COLUMNS}
        ((kept["importances"],),) = store.connection.execute("SELECT count(*) FROM weighed").fetchall()
        done = (_REPAIRED, str(number), row_sum(_REPAIRED, str(number)))
        store.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", done)
    return {table: kept[table] for table in ("captions", "scores", "importances") if kept[table]}


def _copy(connection: sqlite3.Connection, table: str, rows: Iterable[Row]) -> int:
    marks = ", ".join("?" for _ in COLUMNS[table])
    before = connection.total_changes
    # A row that breaks a rule of its table is damaged, too.
    statement = f"INSERT OR IGNORE INTO {table} ({', '.join(COLUMNS[table])}) VALUES ({marks})"  # noqa: S608
    connection.executemany(statement, rows)
    return connection.total_changes - before


class _Whole:
    """The rows of a damaged store that are whole: they can be read, and what their sums were taken of is there."""

    def __init__(self, damaged: sqlite3.Connection, size: int) -> None:
        self._damaged = damaged
        self._most = size // _ROW
        self._named: dict[str, dict[Any, tuple[Any, ...]]] = {}

    def begins_as(self, store: RunStore) -> bool:
        """Whether it says what its tables are and where they begin, as `store` does."""
        query = "SELECT * FROM sqlite_master"
        return {*store.all(query)} <= {*self._asked(query)}

    def results(self) -> int:
        """How many of them are results, each with a number of its own."""
        found = {table: {row[0] for row in self.rows(table) if isinstance(row[0], int)} for table in COLUMNS}
        return sum(len(found[table]) for table in _SUMMED)

    def rows(self, table: str) -> Iterator[Row]:
        """Those of one table; tables that it refers to come before it."""
        for row in self._readable(table):
            if table in ("contexts", "scorers"):
                whole = digest_of(str(row[2])) == row[1]
            elif table == "meta":
                whole = row_sum(*row[:2]) == row[2]
            elif table in _SUMMED:
                whole = self._matches(table, row)
            elif table in ("stages", "errors"):
                whole = row[1] in self._named.get("sessions", {})
            else:
                whole = True
            if whole:
                self._named.setdefault(table, {})[row[0]] = row[1:]
                yield row

    def _matches(self, table: str, row: Row) -> bool:
        """Whether a row's sum is that of its values and of what it refers to."""
        named = dict(zip(COLUMNS[table], row, strict=True))
        values: list[Any] = []
        for column in _SUMMED[table]:
            owner = _OWNER.get(column)
            if owner is None:
                values.append(named[column])
                continue
            referred = self._named.get(owner, {}).get(named[column])
            if referred is None:
                return False
            values += referred if owner == "samples" else referred[:1]
        return bool(row_sum(*values) == named["sum"])

    def _readable(self, table: str) -> Iterator[Row]:
        """The rows of a table that SQLite can read, whatever pages are broken."""
        columns = ", ".join(COLUMNS[table])
        if self._asked(f"SELECT count(*) FROM (SELECT {columns} FROM {table} LIMIT 0)") != [(0,)]:  # noqa: S608
            return  # there is no such table any more
        if table == "meta":
            yield from self._asked(f"SELECT {columns} FROM meta")  # noqa: S608
            return
        yield from self._between(f"SELECT {columns} FROM {table} WHERE id BETWEEN ? AND ?", 1, self._last(table))  # noqa: S608

    def _between(self, query: str, first: int, last: int) -> Iterator[Row]:
        """Rows by their ids: a range that cannot be read is halved until what is broken stands alone."""
        if first > last:
            return
        try:
            found = self._damaged.execute(query, (first, last)).fetchall()
        except BROKEN:
            if first < last:
                middle = (first + last) // 2
                yield from self._between(query, first, middle)
                yield from self._between(query, middle + 1, last)
            return
        yield from found

    def _last(self, table: str) -> int:
        """The largest id of a table, or what is not below it."""
        found = self._asked(f"SELECT max(id) FROM {table}")  # noqa: S608
        if not found:
            return self._most
        return found[0][0] if isinstance(found[0][0], int) else 0

    def _asked(self, query: str) -> list[Row]:
        try:
            return self._damaged.execute(query).fetchall()
        except BROKEN:
            return []
