"""Writes what happens in a run to a file, line by line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, TextIO

from pydantic import AfterValidator

from headprune import (
    HeadpruneError,
    LayerScored,
    Listener,
    Progress,
    RunFailed,
    RunFinished,
    RunStarted,
    Settings,
    UsageError,
    notice,
)


class JsonLinesSettings(Settings):
    """Settings of `jsonl`.

    Attributes:
        path: the file that the lines are added to; by default `RUN.events.jsonl`, beside the run folder. A library
            call that writes no run folder needs one.
    """

    path: Annotated[Path, AfterValidator(Path.expanduser)] | None = None


class JsonLines(Listener):
    """One JSON object a line: `event`, called as the listener's method, `time` in UTC, and what the event holds.

    Each line is in the file when the run goes on, so that a run that is killed keeps its lines. They are added to
    those that are there: a run that is gone on with goes on in its file. The file lies beside the run folder, not in
    it, because that folder vanishes with a run that fails before it has made anything; why it failed stays.
    """

    Settings = JsonLinesSettings
    settings: JsonLinesSettings
    _file: TextIO

    def started(self, run: RunStarted) -> None:
        """Open the file.

        Raises:
            UsageError: there is no run folder, and no path is given. HeadpruneError: the file cannot be written.
        """
        path = self.settings.path or _beside(run.folder)
        try:
            torn = _is_torn(path)
            self._file = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise _cannot_write(path, error) from error
        if torn:
            self._write("\n")
        notice(f"events are written to {path}")
        self._tell("started", run)

    def progressed(self, progress: Progress) -> None:
        """A line."""
        self._tell("progressed", progress)

    def layer_scored(self, layer: LayerScored) -> None:
        """A line."""
        self._tell("layer_scored", layer)

    def finished(self, run: RunFinished) -> None:
        """The last line."""
        self._tell("finished", run)
        self._file.close()

    def failed(self, run: RunFailed) -> None:
        """The last line."""
        self._tell("failed", run)
        self._file.close()

    def _tell(self, event: str, what: Any) -> None:
        time = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        # ASCII, so that a line is one line to any reader: some end it at U+2028.
        self._write(json.dumps({"event": event, "time": time, **_plain(what)}, allow_nan=False) + "\n")

    def _write(self, text: str) -> None:
        try:
            self._file.write(text)
        except OSError as error:
            raise _cannot_write(Path(self._file.name), error) from error


def _beside(folder: Path | None) -> Path:
    """`RUN.events.jsonl` for the run folder RUN."""
    if folder is None:
        raise UsageError("listener 'jsonl' has no run folder to write beside", "name a file: path=events.jsonl")
    return Path(f"{os.path.abspath(folder)}.events.jsonl")  # noqa: PTH100 - not through links, and `.` has no name


def _is_torn(path: Path) -> bool:
    """Whether the last line of a file was cut off, by a full disk or a lost machine."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _plain(value: Any) -> Any:
    """The same as JSON has it: mappings, lists, text and numbers; None in place of a number that is none."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _cannot_write(path: Path, error: OSError) -> HeadpruneError:
    reason = f"listener 'jsonl' cannot write {path}: {error.strerror or error}"
    return HeadpruneError(reason, "name a file that can be written: --listener-option path=FILE")
