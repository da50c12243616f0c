"""Slow, obvious twins of the edits that ship as a plugin: hooks in the model's own forward, one head at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headprune import Adapter

Change = Callable[[Tensor], Tensor]


@contextmanager
def saying(adapter: Adapter, layer: int, head: int, pictures: int, change: Change) -> Iterator[None]:
    """Head `head` of `layer` says change(x) in place of x, [B, T, dh], of B `pictures`."""
    dh = adapter.geometry.head_width

    def hook(module: Any, args: tuple[Tensor]) -> tuple[Tensor]:
        x = args[0].clone()
        own = x.view(pictures, -1, x.shape[-1])[..., head * dh : (head + 1) * dh]
        own.copy_(change(own.clone()))
        return (x,)

    handle = adapter.sites[layer].output.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def attending(adapter: Adapter, layer: int, head: int, temperature: float) -> Iterator[None]:
    """Head `head` of `layer` attends by queries divided by `temperature`: q stands first in all projections of q, k, v,
    be they one or three."""
    dh = adapter.geometry.head_width

    def hook(module: Any, args: tuple[Tensor], out: Tensor) -> Tensor:
        out = out.clone()
        out[..., head * dh : (head + 1) * dh] /= temperature
        return out

    handle = adapter.sites[layer].qkv[0].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def said_by(adapter: Adapter, pixels: Tensor, form: Any, layer: int, head: int) -> Tensor:
    """[B, T, dh], what a head says."""
    found: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        found.append(x.clone())
        return x

    with saying(adapter, layer, head, len(pixels), keep), torch.no_grad():
        adapter.encode(pixels, form)
    return found[0]


def noisy(own: Tensor, layer: int, head: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    """Noise of each picture's own size added, [B, T, dh], written out."""
    entropy = np.random.SeedSequence([seed, layer, head])
    drawn = torch.tensor(np.random.Generator(np.random.PCG64(entropy)).standard_normal(own.shape[1:], np.float32))
    return torch.stack([x + scale * drawn * (x**2).mean() ** 0.5 for x in own])


@contextmanager
def edited(
    adapter: Adapter, edit: str, layer: int, head: int, pixels: Tensor, donors: Tensor, form: Any = None
) -> Iterator[None]:
    """The model with one head of one layer edited, each edit by its default settings.

    Args:
        pixels: of B pictures, as the model is going to be given them.
        donors: of the picture whose output each of them gets.
    """
    if edit == "attention-temperature":
        with attending(adapter, layer, head, 2.0):
            yield
        return
    other = said_by(adapter, donors, form, layer, head)
    change: Change = {"resample": lambda own: other, "noise": lambda own: noisy(own, layer, head)}[edit]
    with saying(adapter, layer, head, len(pixels), change):
        yield
