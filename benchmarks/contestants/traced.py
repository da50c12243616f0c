"""B2: the intervention of B1 written with nnsight, on the same batches.

nnsight has no caption pipeline for BLIP-2, and needs none: `trace(..., fn=model.generate)` runs the model's own
`generate` under its interventions. The tower runs once in it, so one assignment to `projection.input` is all. (Its
documented per-head recipe slices what comes out of the projection, where the heads are mixed already; that would
compute something else.)
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec

from benchmarks.contestants.loop import BATCH, cut_after
from benchmarks.task import Captions, Task


def available() -> bool:
    """Whether nnsight is installed."""
    return find_spec("nnsight") is not None


def traced(task: Task) -> Captions:
    """One traced call of `generate` for each batch of pictures and each head."""
    from nnsight import NNsight

    with warnings.catch_warnings():
        # Of the Q-Former's submodules named `output`, which nothing here touches.
        warnings.filterwarnings("ignore", message=".*nnsight already serves")
        wrapped = NNsight(task.model)
    said: Captions = {}
    for start in range(0, len(task.pictures), BATCH):
        pixels = task.pixels(task.pictures[start : start + BATCH])
        for layer in task.layers:
            projection = wrapped.vision_model.encoder.layers[layer].self_attn.projection
            with cut_after(task, layer):
                for head in range(task.heads):
                    columns = slice(head * task.head_width, (head + 1) * task.head_width)
                    with wrapped.trace(
                        fn=task.model.generate,
                        pixel_values=pixels,
                        max_new_tokens=task.max_new_tokens,
                        do_sample=False,
                    ) as tracer:
                        outputs = projection.input.clone()
                        outputs[..., columns] = 0
                        projection.input = outputs
                        tokens = tracer.result.save()
                    for row, caption in enumerate(task.words(tokens)):
                        said[start + row, layer, head] = caption
    return said
