"""Captions and scores of a run in one SQLite file, keyed by everything that determines them.

A caption belongs to a `context`: a description, kept as canonical JSON, of all that shaped it but its place (model and
weights, edit, decode point, generation, versions ...), and to a sample with the hash of its picture. A score belongs to
a scorer's description as well. What was computed under another description, or of another picture, is therefore never
taken for the present one.

Every call that writes is one transaction: a process that is killed loses the call it was in and nothing before it.
A machine that loses its power may take a second's work with it: a transaction waits for the disk unless one that did
began less than a second before.
Every row carries a sum; one that does not match is not read, and makes way for the row that is made in its place.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from headprune.errors import HeadpruneError, notice
from headprune.runs.canonical import canonical, digest_of
from headprune.runs.opening import FILE as FILE
from headprune.runs.opening import opened, worded
from headprune.runs.schema import transaction
from headprune.runs.sums import begun, ended, row_sum

if TYPE_CHECKING:
    from headprune.runs.sessions import Log

WHOLE = -1
"""The layer of a caption that the whole model made."""
REFERENCE = -1
"""The head of a caption that the unchanged model made."""
Key = tuple[str, int, int]
"""Sample id, layer, head; layer and head 0-based, or WHOLE and REFERENCE."""
ByHead = dict[tuple[str, int], list[float | None]]
"""By sample id and layer, a number for each head; None for one that was not scored."""
_UNSYNCED = 1.0
"""Seconds of work that may wait to reach the disk."""
_ROWS_AT_ONCE = 100
"""Rows of one INSERT: a third faster than one by one. SQLite before 3.32 takes 999 values."""


class RunStore:
    """The store of one run folder; made with `open`, used in a `with` block.

    Attributes:
        path: its file.
        connection: to it.
        log: where this session of the run is written down; None where there is none.
        mended: what there is to say of a damaged store whose place this one took.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection
        self.log: Log | None = None
        self.mended = ""
        self._pictures: dict[str, str] = {}
        self._samples: dict[str, int] = {}
        # A journal of another mode needs the disk's word for the file to stay whole.
        self._may_go_on = connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        self._synced = time.monotonic()

    @classmethod
    def open(cls, folder: str | Path, create: bool = True) -> RunStore:
        """Open the store of `folder`, which exists; with `create` an absent one is made, an old one brought up to date.

        Without `create` a store that an older headprune wrote, or that may not be written to, is read from a copy in
        memory: to look at a run changes nothing of it.

        Raises:
            HeadpruneError: there is no store (without `create`), or a newer headprune wrote it.
            DamagedStoreError: it is damaged.
        """
        path = Path(folder).absolute() / FILE
        if not create and not path.is_file():
            raise HeadpruneError(
                f"{folder} holds no run: there is no {FILE} in it", "name a folder that `headprune score` wrote"
            )
        return cls(path, opened(path, create))

    def __enter__(self) -> RunStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a store cannot be used afterwards."""
        self.connection.close()

    def see(self, pictures: Mapping[str, str]) -> None:
        """Take these for the samples' pictures, by sample id, each by its hash: rows are written and read for them.

        A sample that is not named here is one without a picture; of those that earlier runs saw, the last is read.
        """
        self._pictures.update(pictures)
        for sample in pictures:
            self._samples.pop(sample, None)

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
        self._add("captions", context, ("text",), (), rows)

    def captions(self, context: str) -> dict[Key, str]:
        """The stored captions of a context."""
        return self._read("captions", "text", "context_id = ?", (self._id("contexts", context),), (context,))

    def add_scores(self, context: str, scorer: str, rows: Mapping[Key, float]) -> None:
        """Store scores. A score that is there already stays as it is.

        Raises:
            HeadpruneError: a score is not finite; nothing of the call is stored then.
        """
        columns, more = ("value", "scorer_id"), (self._id("scorers", scorer),)
        self._add("scores", context, columns, more, _finite(rows), f"{scorer}\0")

    def scores(self, context: str, scorer: str) -> dict[Key, float]:
        """The stored scores of a context by one scorer."""
        ids = (self._id("contexts", context), self._id("scorers", scorer))
        return self._read("scores", "value", "context_id = ? AND scorer_id = ?", ids, (context,), (scorer,))

    def add_importances(self, patch: str, rows: ByHead) -> None:
        """Store the importances that the patch with this digest was made of. Those of a sample and layer that are there
        already stay as they are. They are on the disk when this returns: a patch may be written.

        Raises:
            ValueError: one is not finite; nothing of the call is stored then.
        """
        with self._transaction(at_once=True):
            values: list[Any] = []
            for (sample, layer), by_head in rows.items():
                text = canonical(by_head)
                total = row_sum(patch, sample, self._pictures.get(sample, ""), layer, text)
                values += (patch, self._sample(sample), layer, text, total)
            self._insert("importances", ("patch", "sample_id", "layer", "by_head", "sum"), values)

    def importances(self, patch: str) -> ByHead:
        """The stored importances of a patch."""
        found = self._read("importances", "by_head", "patch = ?", (patch,), (patch,), place=("layer",))
        return {(sample, layer): json.loads(text) for (sample, layer), text in found.items()}

    def set_meta(self, key: str, value: str) -> None:
        """Store one word about the run, in the place of what stood under `key`."""
        self.write("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", [(key, value, row_sum(key, value))])

    def meta(self, key: str) -> str | None:
        """What stands under `key`; None where nothing does, or what stands there is damaged."""
        found = self.all("SELECT value, sum FROM meta WHERE key = ?", key)
        return str(found[0][0]) if found and row_sum(key, found[0][0]) == found[0][1] else None

    def is_empty(self) -> bool:
        """Whether no caption and no score has been stored."""
        return not self.all("SELECT 1 FROM captions UNION ALL SELECT 1 FROM scores LIMIT 1")

    def write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        """Execute one statement for each of `rows`, in one transaction."""
        with self._transaction():
            self.connection.executemany(statement, rows)

    def all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Every row that a query finds."""
        with worded(self.path), closing(self.connection.execute(query, values)) as cursor:
            return cursor.fetchall()

    def _describe(self, table: str, description: Mapping[str, Any]) -> str:
        text = canonical(dict(description))
        digest = digest_of(text)
        known = self.all(f"SELECT description FROM {table} WHERE digest = ?", digest)  # noqa: S608
        if known != [(text,)]:
            # A damaged description gets its letters back.
            self.write(
                f"INSERT INTO {table} (digest, description) VALUES (?, ?) "  # noqa: S608
                "ON CONFLICT (digest) DO UPDATE SET description = excluded.description",
                [(digest, text)],
            )
        return digest

    def _descriptions(self, table: str) -> dict[str, Any]:
        found = self.all(f"SELECT digest, description FROM {table} ORDER BY id")  # noqa: S608
        return {digest: json.loads(text) for digest, text in found if digest_of(text) == digest}

    def _id(self, table: str, digest: str) -> int:
        found = self.all(f"SELECT id FROM {table} WHERE digest = ?", digest)  # noqa: S608
        if not found:
            raise KeyError(f"{table} holds no {digest}")
        return int(found[0][0])

    def _add(
        self,
        table: str,
        context: str,
        columns: tuple[str, ...],
        more: tuple[int, ...],
        rows: Mapping[Key, Any],
        behind: str = "",
    ) -> None:
        """Add rows of a context, each with its place, its value and its sum.

        Args:
            columns: of the value, and of what is the same in each row, which is `more`.
            behind: what is summed between place and value.
        """
        context_id = self._id("contexts", context)
        with self._transaction():
            of_sample = {
                sample: (self._sample(sample), begun(context, sample, self._pictures.get(sample, "")))
                for sample in dict.fromkeys(sample for sample, _, _ in rows)
            }
            values: list[Any] = []
            for (sample, layer, head), value in rows.items():
                id_, beginning = of_sample[sample]
                # Of numpy's integers SQLite would store the bytes.
                layer, head = int(layer), int(head)
                total = ended(beginning, layer, head, behind, value)
                values += (context_id, id_, layer, head, total, value, *more)
            before = self.connection.total_changes
            self._insert(table, ("context_id", "sample_id", "layer", "head", "sum", *columns), values)
            if self.log:
                self.log.count(self.connection.total_changes - before)

    def _insert(self, table: str, columns: tuple[str, ...], values: list[Any]) -> None:
        """Insert rows, one behind the other in `values`, but for those that are there."""
        width = len(columns)
        row = f"({', '.join('?' for _ in columns)})"
        for start in range(0, len(values), width * _ROWS_AT_ONCE):
            some = values[start : start + width * _ROWS_AT_ONCE]
            rows = ", ".join([row] * (len(some) // width))
            statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {rows} ON CONFLICT DO NOTHING"  # noqa: S608
            self.connection.execute(statement, some)

    @contextmanager
    def _transaction(self, at_once: bool = False) -> Iterator[None]:
        """All that is written within the block, or nothing; on the disk `at_once`, or if that was a while ago."""
        now = time.monotonic()
        waits = at_once or not self._may_go_on or now - self._synced >= _UNSYNCED
        with worded(self.path):
            self.connection.execute(f"PRAGMA synchronous = {'FULL' if waits else 'NORMAL'}")
            with transaction(self.connection):
                yield
        if waits:
            self._synced = now

    def _sample(self, name: str) -> int:
        """The row of a sample with its picture, made where there is none."""
        if name not in self._samples:
            values = (name, self._pictures.get(name, ""))
            self.connection.execute("INSERT INTO samples (name, picture) VALUES (?, ?) ON CONFLICT DO NOTHING", values)
            query = "SELECT id FROM samples WHERE name = ? AND picture = ?"
            self._samples[name] = int(self.connection.execute(query, values).fetchone()[0])
        return self._samples[name]

    def _read(
        self,
        table: str,
        column: str,
        where: str,
        values: tuple[int | str, ...],
        before: tuple[str, ...],
        behind: tuple[str, ...] = (),
        place: tuple[str, ...] = ("layer", "head"),
    ) -> dict[Any, Any]:
        """Rows by sample and place, those of today's pictures; one whose sum does not match is removed."""
        query = (
            f"SELECT row.id, name, picture, {', '.join(place)}, {column}, sum FROM {table} AS row "  # noqa: S608
            f"JOIN samples ON samples.id = sample_id WHERE {where} ORDER BY samples.id"
        )
        found: dict[Any, Any] = {}
        damaged = []
        for id_, name, picture, *at, value, total in self.all(query, *values):
            key = (name, *at)
            if row_sum(*before, name, picture, *at, *behind, value) != total:
                damaged.append((id_,))
            elif self._pictures.get(name, picture) == picture:
                found[key] = value
        if damaged:
            notice(f"{self.path.name} is damaged: of its {table} {len(damaged)} lost, {len(found)} whole")
            self.write(f"DELETE FROM {table} WHERE id = ?", damaged)  # noqa: S608
        return found


def _finite(rows: Mapping[Key, float]) -> dict[Key, float]:
    if not all(map(math.isfinite, rows.values())):
        (sample, layer, head), value = next(item for item in rows.items() if not math.isfinite(item[1]))
        raise HeadpruneError(f"the score of sample {sample}, layer {layer}, head {head} is {value}", "check the scorer")
    # SQLite gives -0.0 back as 0.0.
    return {key: float(value) + 0.0 for key, value in rows.items()}
