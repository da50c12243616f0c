"""Slow, obvious twins of what the core does, with plain hooks: one head, one layer at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from headprune.patch.patch import Array
from headprune.towers.adapter import Adapter


@contextmanager
def hooked(adapter: Adapter, layer: int, s: Tensor) -> Iterator[None]:
    """Within the context head h of `layer` says s[h] times what it says; s is [H]."""
    dh = adapter.geometry.head_width

    def scale(module: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = args[0].clone()
        for head in range(len(s)):
            x[..., head * dh : (head + 1) * dh] *= s[head]
        return (x, *args[1:])

    handle = adapter.sites[layer].output.register_forward_pre_hook(scale)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def hooked_tower(adapter: Adapter, coefficients: Array) -> Iterator[None]:
    """Within the context head h of every layer l says coefficients[l, h] times what it says."""
    with ExitStack() as stack:
        for layer, s in enumerate(coefficients):
            stack.enter_context(hooked(adapter, layer, torch.as_tensor(s)))
        yield


@contextmanager
def stopped_after(adapter: Adapter, layer: int) -> Iterator[None]:
    """Within the context the layers after `layer` hand their input on unchanged: the model speaks of Z[layer + 1]."""
    answers = adapter.layout.answers

    def skip(*args: Any, **kwargs: Any) -> Any:
        states = first_given(args, kwargs)
        return (states, *[None] * (answers - 1)) if answers > 1 else states

    with ExitStack() as stack:
        for site in adapter.sites[layer + 1 :]:
            stack.enter_context(mock.patch.object(site.layer, "forward", skip))
        yield


def first_given(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a module is given first, by position or by name."""
    return args[0] if args else next(iter(kwargs.values()))
