"""Ours: the sweep as `headprune score` runs it, without the scoring."""

from __future__ import annotations

from benchmarks.task import Captions, Task
from headprune import Edit, Generation, Sample
from headprune.hooks.catalogue import make
from headprune.scoring.sweep import SweepPlan, sweep
from headprune.towers.batches import Key, choose_batch


def ours(task: Task) -> Captions:
    """`headprune.scoring.sweep` with the batch that headprune chooses by itself."""
    adapter = task.adapter
    samples = [
        Sample(str(number), (), lambda picture=picture: picture)  # type: ignore[misc]
        for number, picture in enumerate(task.pictures)
    ]
    plan = SweepPlan(
        layers=task.layers,
        references=(),
        edit=make("edit", "ablate", (Edit,), {}),
        decode_at=task.decode_at,
        generation=Generation(max_new_tokens=task.max_new_tokens),
        batch=choose_batch(adapter.geometry, adapter.tokens, adapter.dtype.itemsize, None, adapter.device),
    )
    said: dict[Key, str] = {}
    sweep(adapter, samples, plan, said.update)
    return {(int(number), layer, head): caption for (number, layer, head), caption in said.items()}
