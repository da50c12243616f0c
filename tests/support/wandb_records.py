"""Reads the file that W&B writes of a run; its own reader is inside its service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

_BLOCK, _FILE_HEADER, _HEADER = 32768, 7, 7
_WHOLE, _LAST = 1, 4


def records_in(path: Path) -> Iterator[Any]:
    """The records, in order: a log as LevelDB has it, of blocks that hold checksum, length and kind of each piece."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    at, pieces = _FILE_HEADER, b""
    while at < len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER:
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        pieces += data[at + _HEADER : at + _HEADER + length]
        at += _HEADER + length
        if kind in (_WHOLE, _LAST):
            record = Record()
            record.ParseFromString(pieces)
            pieces = b""
            yield record


class Kept:
    """What a run's file holds.

    Attributes:
        run: project, name, job type ...
        config, summary: as they are in the end.
        history: what was logged, row by row.
        artifacts: names and types.
        exit_code: None where the run has not ended.
    """

    def __init__(self, path: Path) -> None:
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.artifacts: list[tuple[str, str]] = []
        self.steps: dict[str, str] = {}
        self.exit_code: int | None = None
        for record in records_in(path):
            self._take(record)

    def _take(self, record: Any) -> None:
        kind = record.WhichOneof("record_type")
        if kind == "run":
            self.run = record.run
            self.config |= _items(record.run.config.update)
        elif kind == "summary":
            self.summary |= _items(record.summary.update)
        elif kind == "history":
            self.history.append(_items(record.history.item))
        elif kind == "artifact":
            self.artifacts.append((record.artifact.name, record.artifact.type))
        elif kind == "metric" and record.metric.step_metric:
            self.steps[record.metric.name or record.metric.glob_name] = record.metric.step_metric
        elif kind == "exit":
            self.exit_code = record.exit.exit_code


def _items(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
