"""Every answer that was paid for, in an SQLite file that several processes may share."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headprune import PluginError

_TABLE = """create table if not exists answers (
    key text primary key, model text not null, answer text not null,
    tokens_in integer, tokens_out integer, at text not null default current_timestamp)"""


def default_file() -> Path:
    """Where answers are stored unless said otherwise: the user's cache folder, by the platform's rules."""
    home = Path.home()
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = home / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return root / "headprune" / "judge.sqlite"


class Store:
    """Answers by question. May be used by several threads.

    Raises:
        PluginError: the file cannot be opened, or is no such store.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        with self._blaming():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(file, timeout=60, check_same_thread=False, isolation_level=None)
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute(_TABLE)

    def get(self, key: str) -> str | None:
        """The stored answer, if there is one."""
        with self._lock, self._blaming():
            row = self._connection.execute("select answer from answers where key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, model: str, answer: str, tokens_in: int | None, tokens_out: int | None) -> None:
        """Store an answer; on disk when this returns."""
        with self._lock, self._blaming():
            self._connection.execute(
                "insert or replace into answers (key, model, answer, tokens_in, tokens_out) values (?, ?, ?, ?, ?)",
                (key, model, answer, tokens_in, tokens_out),
            )

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    @contextmanager
    def _blaming(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            reason = f"the judge's store {self.file} cannot be used: {error}"
            raise PluginError(reason, "name another file: --scorer-option cache=FILE") from error
