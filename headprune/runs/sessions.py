"""What a run went through: each time that a process worked on it, how long its stages took, and what went wrong.

Times of day are for people and order nothing: clocks are set back. Durations are taken from a clock that is not.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from headprune.errors import HeadpruneError
from headprune.redact import redacted
from headprune.runs.store import RunStore

COLUMNS = ("id", "started", "ended", "state", "host", "process", "user", "folder", "environment", "seconds")
SCORES = "scores of layer "
"""What the stage of a layer's scores is called, before its number."""
RUNNING, FINISHED, INTERRUPTED, FAILED = "running", "finished", "interrupted", "failed"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a session: `made` of `total` results were made in it, `reused` were in the store. Neither, where it
    has not begun, or all that it was to make was there already."""

    stage: str
    total: int
    reused: int
    made: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Error:
    """What went wrong, and of which sample, where it was one's."""

    at: str
    kind: str
    sample: str | None
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Session:
    """One process at work on a run.

    Attributes:
        started, ended: UTC; `ended` None while it works, or where it was killed.
        state: running, finished, interrupted or failed, as it said itself.
        host, process, user: whose it is.
        folder: the current folder, from which relative paths of its recipe are taken.
        environment: versions and hardware.
        seconds: how long it worked; where it did not end, until it last stored a result.
        stages, errors: in order.
    """

    id: int
    started: str
    ended: str | None
    state: str
    host: str
    process: int
    user: str
    folder: str
    environment: Mapping[str, Any]
    seconds: float
    stages: tuple[Stage, ...]
    errors: tuple[Error, ...]

    @property
    def last(self) -> str:
        """When it was last at work, UTC, by the clock of its beginning."""
        try:
            last = datetime.fromisoformat(self.started) + timedelta(seconds=self.seconds)
        except (TypeError, ValueError, OverflowError):  # damaged
            return str(self.started)
        return last.isoformat(timespec="seconds")


class Log:
    """Writes down one session as it goes: what a process that is killed has done until then stands there, too."""

    def __init__(self, store: RunStore, environment: Mapping[str, Any]) -> None:
        self._store = store
        self._began = time.monotonic()
        self._stage: _Open | None = None
        statement = (
            "INSERT INTO sessions (started, state, host, process, user, folder, environment, seconds) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 0)"
        )
        told = json.dumps(dict(environment), sort_keys=True)
        store.write(statement, [(_now(), RUNNING, socket.gethostname(), os.getpid(), _user(), str(Path.cwd()), told)])
        self._session = store.all("SELECT max(id) FROM sessions")[0][0]

    def plan(self, stages: Mapping[str, int]) -> None:
        """What stages there will be, and how many results each is to have; planned again, it is of fewer samples."""
        self._store.write(
            "INSERT INTO stages (session_id, stage, total, reused, made, seconds) VALUES (?, ?, ?, 0, 0, 0) "
            "ON CONFLICT DO UPDATE SET total = excluded.total",
            [(self._session, name, total) for name, total in stages.items()],
        )

    @contextmanager
    def stage(self, name: str, total: int, reused: int) -> Iterator[None]:
        """A stage of the work, written down when it begins and with each result that is stored. One that begins again
        goes on."""
        # What this session made before is not reused.
        self._store.write(
            "INSERT INTO stages (session_id, stage, total, reused, made, seconds) VALUES (?, ?, ?, ?, 0, 0) "
            "ON CONFLICT DO UPDATE SET total = excluded.total, reused = max(0, excluded.reused - made)",
            [(self._session, name, total, reused)],
        )
        query = "SELECT id, seconds FROM stages WHERE session_id = ? AND stage = ?"
        id_, before = self._store.all(query, self._session, name)[0]
        self._stage = _Open(id_, time.monotonic() - before)
        try:
            yield
        finally:
            self._stage = None

    def count(self, made: int) -> None:
        """So many results were stored; call it within their transaction."""
        if self._stage is None:
            return
        now, execute = time.monotonic(), self._store.connection.execute
        values = (made, now - self._stage.began, self._stage.id)
        execute("UPDATE stages SET made = made + ?, seconds = ? WHERE id = ?", values)
        execute("UPDATE sessions SET seconds = ? WHERE id = ?", (now - self._began, self._session))

    def error(self, error: BaseException, sample: str | None = None) -> None:
        """Something that went wrong."""
        message = error.message if isinstance(error, HeadpruneError) else str(error)
        hint = error.hint if isinstance(error, HeadpruneError) else ""
        self._store.write(
            "INSERT INTO errors (session_id, at, kind, sample, message, hint) VALUES (?, ?, ?, ?, ?, ?)",
            [(self._session, _now(), type(error).__name__, sample, redacted(message), redacted(hint))],
        )

    def end(self, state: str) -> None:
        """The session is over."""
        self._store.write(
            "UPDATE sessions SET ended = ?, state = ?, seconds = ? WHERE id = ?",
            [(_now(), state, time.monotonic() - self._began, self._session)],
        )


@dataclass(frozen=True, slots=True)
class _Open:
    """The stage that a session is in: its row, and when it would have begun had it been worked on all the time."""

    id: int
    began: float


def sessions(store: RunStore) -> tuple[Session, ...]:
    """Every session of a run, in order."""
    found = store.all(f"SELECT {', '.join(COLUMNS)} FROM sessions ORDER BY id")  # noqa: S608
    stages = store.all("SELECT session_id, stage, total, reused, made, seconds FROM stages ORDER BY id")
    errors = store.all("SELECT session_id, at, kind, sample, message, hint FROM errors ORDER BY id")
    return tuple(
        Session(
            **dict(zip(COLUMNS, row, strict=True)) | {"environment": _read(row[8])},
            stages=tuple(Stage(*stage[1:]) for stage in stages if stage[0] == row[0]),
            errors=tuple(Error(*error[1:]) for error in errors if error[0] == row[0]),
        )
        for row in found
    )


def progress(found: Sequence[Session]) -> tuple[int, int]:
    """How many results a run has, and of how many, by what its sessions say of their stages."""
    stages = [stage for session in found for stage in session.stages]
    totals = {stage.stage: stage.total for stage in stages}
    # What a session did not come to, or found to be done, is as far as an earlier one left it.
    done = {stage.stage: stage.reused + stage.made for stage in stages if stage.reused or stage.made}
    return sum(min(done.get(name, 0), total) for name, total in totals.items()), sum(totals.values())


def to_the_minute(time: str) -> str:
    """A stored time as people read it; it is UTC."""
    return str(time)[:16].replace("T", " ")


def last_session(store: RunStore) -> Session | None:
    """The latest session of a run; None where there is none."""
    found = sessions(store)
    return found[-1] if found else None


def environment() -> dict[str, Any]:
    """What a session ran on."""
    return {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}


def _read(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (TypeError, ValueError):  # damaged
        return {}
    return found if isinstance(found, dict) else {}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
