"""Slow, obvious twins for LAVIS models: plain hooks on LAVIS's own modules, and its own generate and forward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from headprune import Adapter, Generation
from headprune.testing.slow import hooked, stopped_after


def vanilla_captions(model: Any, pixels: Tensor, generation: Generation) -> list[str]:
    """What a model says by its own generate, as LAVIS's documentation shows."""
    first = 0 if hasattr(model, "prompt") else 1
    asked = {} if generation.prompt is None else {"prompt": generation.prompt}
    said = model.generate(
        {"image": pixels, **asked},
        num_beams=generation.num_beams,
        max_length=generation.max_new_tokens + first,
        min_length=0,
    )
    return [caption.strip() for caption in said]


def variant(
    adapter: Adapter, edit: str, pixels: Tensor, layer: int, head: int, last: bool, how: Generation
) -> list[str]:
    """Captions of one head's variant, all pictures at once."""
    one_hot = torch.zeros(adapter.geometry.heads_in[layer])
    one_hot[head] = 1
    s = one_hot if edit == "isolate" else 1 - one_hot
    with hooked(adapter, layer, s), stopped_after(adapter, adapter.geometry.layers - 1 if last else layer):
        return vanilla_captions(adapter.model, pixels, how)
