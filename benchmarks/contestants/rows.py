"""B3: B1 with the loop over heads turned into rows of one batch, the best that hooks alone can do."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants.loop import cut_after
from benchmarks.task import Captions, Task


def rows(task: Task, size: int) -> Captions:
    """One call of `generate` for each layer and as many pictures as fill about `size` rows with all their heads."""
    said: Captions = {}
    batch = max(1, size // task.heads)
    for start in range(0, len(task.pictures), batch):
        pixels = task.pixels(task.pictures[start : start + batch])
        count = len(pixels)
        # Head-major: row h*B + b is picture b without head h.
        repeated = pixels.repeat(task.heads, 1, 1, 1)
        mask = _without_each(task, pixels).repeat_interleave(count, dim=0)

        def silence(module: Any, args: tuple[Tensor], mask: Tensor = mask) -> tuple[Tensor]:
            return (args[0] * mask,)

        for layer in task.layers:
            attention = task.model.vision_model.encoder.layers[layer].self_attn
            with cut_after(task, layer):
                handle = attention.projection.register_forward_pre_hook(silence)
                try:
                    tokens = task.model.generate(
                        pixel_values=repeated, max_new_tokens=task.max_new_tokens, do_sample=False
                    )
                finally:
                    handle.remove()
            for row, caption in enumerate(task.words(tokens)):
                said[start + row % count, layer, row // count] = caption
    return said


def _without_each(task: Task, like: Tensor) -> Tensor:
    """[H, 1, H*dh], row h is 0 at the columns of head h and 1 elsewhere."""
    mask = 1 - torch.eye(task.heads, dtype=like.dtype, device=like.device)
    return mask.repeat_interleave(task.head_width, dim=1)[:, None, :]
