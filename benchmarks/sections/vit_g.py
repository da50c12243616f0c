"""Section 2: a tower of ViT-g's geometry, one picture: time beside the peers, and what is held in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks import vit_g
from benchmarks.contest import AGAINST, NO_NNSIGHT, contest, fastest
from benchmarks.contestants.traced import available
from benchmarks.effort import Effort
from benchmarks.results import Row, Section
from benchmarks.task import Task
from headprune import Adapter, DecodePoint

LAYERS, QUICK_LAYERS = 4, 1
SIZES = (4, 16)
MAX_NEW_TOKENS = 8
MIB = 2**20


def run(effort: Effort) -> Section:
    """On the CPU, whatever else there is."""
    rows, notes = measure(effort, torch.device("cpu"))
    return Section(
        "vit-g", "a tower of ViT-g's geometry: every head of its last layer silenced", tuple(rows), tuple(notes)
    )


def measure(effort: Effort, device: torch.device) -> tuple[list[Row], list[str]]:
    """Rows and notes on `device`. The last layer only: there both decode points are one, and `layer` is measured."""
    layers = QUICK_LAYERS if effort.quick else LAYERS
    adapter = vit_g.build(layers, device)
    task = Task(adapter, vit_g.pictures(1), (layers - 1,), DecodePoint.LAYER, MAX_NEW_TOKENS)
    sizes = fastest(task, SIZES[-1:] if effort.quick else SIZES)
    rows = contest(f"1 picture, {task.captions} captions, layer {layers - 1}", task, sizes, effort.rounds)
    shape = f"{layers} of ViT-g's {vit_g.REAL_LAYERS} layers, random weights, tiny Q-Former and T5"
    notes = [
        f"{shape}; B1 and B3 run all layers for every variant, so a whole tower sets them back further",
        str(sizes),
        *_memory(adapter, task),
        AGAINST,
    ]
    return rows, notes if available() else [*notes, NO_NNSIGHT]


def _memory(adapter: Adapter, task: Task) -> list[str]:
    """What one picture's states and captures take, counted on the tensors and carried over to the whole tower."""
    layers = range(adapter.geometry.layers)
    traced = adapter.trace(task.pixels(task.pictures), layers, [*layers, len(layers)])
    states = list(traced.states.values())
    captures = [tensor for held in traced.captures.values() for tensor in (held.residual, held.heads, held.output)]
    # Z[0] is there once; every layer adds the same again.
    start = _bytes(states[:1])
    whole = [start + (_bytes(held) - start) / len(layers) * vit_g.REAL_LAYERS for held in (states, captures)]
    kind = str(adapter.dtype).removeprefix("torch.")
    return [
        f"{name} of one picture, {kind}: {_bytes(held) / MIB:.1f} MiB here, {total / MIB:.1f} MiB for "
        f"{vit_g.REAL_LAYERS} layers"
        for name, held, total in zip(
            ("all Z", "captures of all layers (all Z in them)"), (states, captures), whole, strict=True
        )
    ]


def _bytes(tensors: list[Tensor]) -> int:
    """Bytes of the tensors, what they share counted once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())
