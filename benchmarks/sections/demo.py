"""Section 1: the bundled model, all heads of all layers, against what a user would write."""

from __future__ import annotations

import torch

from benchmarks.contest import AGAINST, B1, B3, NO_NNSIGHT, SINGLE, contest, contest_single, fastest
from benchmarks.contestants.traced import available
from benchmarks.effort import Effort
from benchmarks.results import Row, Section, Target
from benchmarks.task import Task
from headprune import DecodePoint, LoadRequest, load_model, open_dataset

PICTURES, SINGLE_PICTURES = 64, 4
SIZES = (64, 128, 256, 512, 1024)
TARGETS = {
    DecodePoint.LAYER: {B1: Target(2.5, least=True), SINGLE: Target(12, least=True), B3: Target(1.4, least=True)},
    DecodePoint.LAST: {B1: Target(1.8, least=True)},
}


def run(effort: Effort) -> Section:
    """On the CPU, whatever else there is."""
    rows, notes = measure(effort, torch.device("cpu"))
    return Section("demo", "the bundled model: every head silenced in turn", tuple(rows), tuple(notes))


def measure(effort: Effort, device: torch.device) -> tuple[list[Row], list[str]]:
    """Rows and notes of both decode points, on `device`."""
    rows: list[Row] = []
    notes = [AGAINST] if available() else [AGAINST, NO_NNSIGHT]
    for decode_at in DecodePoint:
        whole = task(decode_at, device)
        some = whole.on(2).at((0, 7)) if effort.quick else whole
        single = some.on(1 if effort.quick else SINGLE_PICTURES)
        # Two layers in the middle stand for all eight.
        sizes = fastest(some.at((3, 4)), SIZES[:1] if effort.quick else SIZES)
        rows += contest(_setting(some), some, sizes, effort.rounds, TARGETS[decode_at])
        rows += contest_single(_setting(single), single, effort.rounds, TARGETS[decode_at])
        notes.append(f"decoded at {decode_at.value}: {sizes}")
    return rows, notes


def task(decode_at: DecodePoint, device: torch.device) -> Task:
    """All heads of the bundled model on its first pictures, in float32."""
    adapter = load_model("demo", LoadRequest("demo", dtype="float32", device=str(device)))
    pictures = tuple(sample.load() for sample in open_dataset("demo").samples[:PICTURES])
    return Task(adapter, pictures, tuple(range(adapter.geometry.layers)), decode_at)


def _setting(task: Task) -> str:
    pictures = f"{len(task.pictures)} picture{'s' * (len(task.pictures) > 1)}"
    return f"{pictures}, {task.captions} captions, decoded at {task.decode_at.value}"
