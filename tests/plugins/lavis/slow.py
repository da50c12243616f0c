"""Slow, obvious twins for LAVIS models: plain hooks on LAVIS's own modules, and its own generate and forward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from headprune import Adapter, Generation


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


def blocks(adapter: Adapter) -> list[Any]:
    tower: Any = adapter.model.visual_encoder
    return list(tower.transformer.resblocks if hasattr(tower, "transformer") else tower.blocks)


def projection(block: Any) -> Any:
    return block.attn.out_proj if hasattr(block.attn, "out_proj") else block.attn.proj


@contextmanager
def hooked(adapter: Adapter, layer: int, s: Tensor) -> Iterator[None]:
    """Head h's output multiplied by s[h] before the output projection of `layer`."""
    dh = adapter.geometry.head_width

    def scale(module: Any, args: tuple[Tensor]) -> tuple[Tensor]:
        x = args[0].clone()
        for head in range(len(s)):
            x[..., head * dh : (head + 1) * dh] *= s[head]
        return (x,)

    handle = projection(blocks(adapter)[layer]).register_forward_pre_hook(scale)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def hooked_tower(adapter: Adapter, coefficients: Any) -> Iterator[None]:
    """Head h of every layer l multiplied by coefficients[l, h]."""
    with ExitStack() as stack:
        for layer, s in enumerate(coefficients):
            stack.enter_context(hooked(adapter, layer, torch.tensor(s)))
        yield


@contextmanager
def stopped_after(adapter: Adapter, layer: int) -> Iterator[None]:
    """Layers after `layer` hand their input on unchanged, so that the model speaks of Z[layer + 1]."""
    handles = [
        block.register_forward_hook(lambda module, args, output: args[0]) for block in blocks(adapter)[layer + 1 :]
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def variant(
    adapter: Adapter, edit: str, pixels: Tensor, layer: int, head: int, last: bool, how: Generation
) -> list[str]:
    """Captions of one head's variant, all pictures at once."""
    one_hot = torch.zeros(adapter.geometry.heads_in[layer])
    one_hot[head] = 1
    s = one_hot if edit == "isolate" else 1 - one_hot
    with hooked(adapter, layer, s), stopped_after(adapter, adapter.geometry.layers - 1 if last else layer):
        return vanilla_captions(adapter.model, pixels, how)
