"""What a perspective found, as two files: `result.json` holds what reads as text, `tensors.safetensors` the arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from headprune.errors import HeadpruneError
from headprune.files import TooLarge, read_limited, writing
from headprune.tensors import Refused, read_tensors

RESULT, TENSORS = "result.json", "tensors.safetensors"
LARGEST = 2**30
"""Bytes that the tensors of a result may have; those of figure 6 over 40 layers of 16 heads are some 10 MB."""
_LONGEST_HEADER = 2**24
_LONGEST_TEXT = 2**28
_TENSOR = "tensor"


def save_result(folder: Path, value: Any) -> None:
    """Write `value` into `folder`: dataclasses, mappings, sequences, plain JSON and numpy arrays, at any depth.

    Raises:
        ValueError: a number outside an array is not finite.
    """
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    plain = _packed(value, "", tensors)
    # Not by safetensors itself, whose files nobody else may read.
    (folder / TENSORS).write_bytes(save(tensors))
    with writing(folder / RESULT) as part:
        part.write_text(json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def load_result(folder: Path) -> Any:
    """What `save_result` wrote, dataclasses as dicts and tuples as lists.

    Raises:
        HeadpruneError: there is no result, or it cannot be read.
    """
    plain = load_plain(folder)
    with _worded(folder):
        tensors, _ = read_tensors(folder / TENSORS, LARGEST, _LONGEST_HEADER)
        return _unpacked(plain, tensors)


def load_plain(folder: Path) -> Any:
    """The same without the arrays, in whose places their names stand.

    Raises:
        HeadpruneError: there is no result, or it cannot be read.
    """
    if not (folder / RESULT).is_file():
        raise HeadpruneError(
            f"{folder} holds no result: there is no {RESULT} in it",
            "name a folder that headprune layers, heatmap, lesion or another perspective wrote",
        )
    with _worded(folder):
        return json.loads(read_limited(folder / RESULT, _LONGEST_TEXT))


@contextmanager
def _worded(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, RecursionError, Refused, TooLarge) as error:
        raise HeadpruneError(f"the result in {folder} cannot be read: {error}", "make the run again") from error


def _packed(value: Any, path: str, tensors: dict[str, np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, np.ndarray):
        tensors[path] = np.ascontiguousarray(value)
        return {_TENSOR: path}
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: _packed(part, f"{path}.{key}".lstrip("."), tensors) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(part, f"{path}.{number}", tensors) for number, part in enumerate(value)]
    return value


def _unpacked(plain: Any, tensors: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    if isinstance(plain, list):
        return [_unpacked(part, tensors) for part in plain]
    if not isinstance(plain, dict):
        return plain
    if plain.keys() == {_TENSOR}:
        return tensors[plain[_TENSOR]]
    return {key: _unpacked(part, tensors) for key, part in plain.items()}
