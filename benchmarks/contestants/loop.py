"""B1: transformers, a forward pre-hook, and a loop over heads: what its documentation leads a user to write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from benchmarks.task import Captions, Task
from headprune import DecodePoint

BATCH = 32
"""Pictures in one call of `generate`."""


def loop(task: Task, size: int = BATCH) -> Captions:
    """One call of `generate` for each batch of `size` pictures and each head."""
    said: Captions = {}
    for start in range(0, len(task.pictures), size):
        pixels = task.pixels(task.pictures[start : start + size])
        for layer in task.layers:
            with cut_after(task, layer):
                for head in range(task.heads):
                    with silenced(task, layer, head):
                        tokens = task.model.generate(
                            pixel_values=pixels, max_new_tokens=task.max_new_tokens, do_sample=False
                        )
                    for row, caption in enumerate(task.words(tokens)):
                        said[start + row, layer, head] = caption
    return said


def loop_single(task: Task) -> Captions:
    """B1-single: the same, a picture at a time."""
    return loop(task, size=1)


@contextmanager
def silenced(task: Task, layer: int, head: int) -> Iterator[None]:
    """Within the context, the head's columns of what the output projection reads are zero."""
    columns = slice(head * task.head_width, (head + 1) * task.head_width)

    def silence(module: Any, args: tuple[Tensor]) -> tuple[Tensor]:
        outputs = args[0].clone()
        outputs[..., columns] *= 0
        return (outputs,)

    attention = task.model.vision_model.encoder.layers[layer].self_attn
    handle = attention.projection.register_forward_pre_hook(silence)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def cut_after(task: Task, layer: int) -> Iterator[None]:
    """Within the context, the tower ends with `layer`, where the task decodes there."""
    encoder = task.model.vision_model.encoder
    whole = encoder.layers
    if task.decode_at is DecodePoint.LAYER:
        encoder.layers = whole[: layer + 1]
    try:
        yield
    finally:
        encoder.layers = whole
