"""Pictures in, captions out, both in batches: how many of each fit at once, and a queue in front of the decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headprune.towers.adapter import Adapter
from headprune.types import Generation, Geometry, Sample

# What one row of a replay or a decode may cost beside its states: the MLP's hidden layer is 4 widths, attention
# inputs and outputs a few more.
_WIDTHS_PER_TOKEN = 12
# What is kept of a layer for a backward pass, in widths: what its norms, attention and MLP read and say.
_WIDTHS_FOR_GRADIENTS = 24
# Distributions [S, V] that one teacher-forced row costs: logits, log-probabilities of both models, and a scorer's work.
_DISTRIBUTIONS = 8
_CPU_BUDGET = 1 << 30
_MOST_ROWS = 512


@dataclass(frozen=True, slots=True)
class Batch:
    """How much is done at once.

    Attributes:
        rows: variants replayed and decoded together.
        pictures: pictures in one tower pass.
    """

    rows: int
    pictures: int


def choose_batch(geometry: Geometry, tokens: int, itemsize: int, asked: int | None, device: torch.device) -> Batch:
    """Rows by the memory at hand (a quarter of what is free on CUDA, 1 GiB on a CPU), or as asked.

    Args:
        geometry: of the tower.
        tokens: T, tokens of one picture.
        itemsize: bytes of a number in the tower's dtype.
        asked: rows the user asked for; None chooses.
        device: where the tower runs.
    """
    budget = _budget(device)
    row = tokens * geometry.width * itemsize
    rows = asked or max(1, min(_MOST_ROWS, budget // (row * _WIDTHS_PER_TOKEN)))
    # A picture in a pass holds a capture (residual, head outputs, output) of every layer.
    held = max(1, budget // (3 * row * geometry.layers))
    return Batch(rows, max(1, min(rows // max(1, geometry.heads), held)))


def logit_batch(adapter: Adapter, generation: Generation, batch: Batch) -> Batch:
    """`batch` made small enough for the next-token distributions [rows, S, V] of teacher-forced captions.

    As many pictures as make the variants of one layer a full batch of rows.
    """
    row = _DISTRIBUTIONS * 4 * generation.max_new_tokens * adapter.vocabulary
    rows = max(1, min(batch.rows, _budget(adapter.device) // row))
    return Batch(rows, max(1, min(batch.pictures, rows // max(1, adapter.geometry.heads))))


def gradient_pictures(adapter: Adapter, generation: Generation, batch: Batch) -> int:
    """How many pictures fit in one pass whose every layer is kept for the way back."""
    geometry = adapter.geometry
    kept = adapter.tokens * geometry.width * adapter.dtype.itemsize * geometry.layers * _WIDTHS_FOR_GRADIENTS
    return max(1, min(logit_batch(adapter, generation, batch).rows, _budget(adapter.device) // kept))


def _budget(device: torch.device) -> int:
    """Bytes that one batch may take."""
    return torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else _CPU_BUDGET


def chunks(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    """Samples, `size` at a time."""
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def picture_batches(
    adapter: Adapter, samples: Sequence[Sample], size: int
) -> Iterator[tuple[Sequence[Sample], Tensor]]:
    """Samples with their pixels [B, ...], `size` at a time."""
    for some in chunks(samples, size):
        yield some, adapter.prepare([sample.load() for sample in some])


class DecodeQueue:
    """Collects states until a batch is full, then puts it into words.

    Args:
        adapter: decodes.
        generation: how.
        rows: rows of a full batch.
        deliver: called with (key, caption) for each row, in order.
    """

    def __init__(
        self, adapter: Adapter, generation: Generation, rows: int, deliver: Callable[[Key, str], None]
    ) -> None:
        self._adapter = adapter
        self._generation = generation
        self._rows = rows
        self._deliver = deliver
        self._keys: list[Key] = []
        self._states: list[Tensor] = []

    def put(self, keys: Sequence[Key], states: Tensor) -> None:
        """Add states [R, T, d], row r known as keys[r]; decodes whatever fills a batch."""
        while len(keys) + len(self._keys) >= self._rows:
            room = self._rows - len(self._keys)
            self._keys += keys[:room]
            self._states.append(states[:room])
            self.flush()
            keys, states = keys[room:], states[room:]
        if keys:
            self._keys += keys
            self._states.append(states)

    def flush(self) -> None:
        """Decode what is left."""
        if not self._keys:
            return
        keys, states = self._keys, torch.cat(self._states)
        self._keys, self._states = [], []
        for key, caption in zip(keys, self._adapter.decode(states, self._generation), strict=True):
            self._deliver(key, caption)


Key = tuple[str, int, int]
"""(sample id, layer, head): whose caption it is, 0-based; head -1 is the unchanged model's."""

UNCHANGED = -1
