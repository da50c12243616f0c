"""The data flow's slow, obvious twin: plain hooks, one head and one source token at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from headprune.scoring.statistics import Floats
from headprune.testing.slow import first_given
from headprune.towers.adapter import Adapter
from headprune.types import Form


class SlowFlow:
    """Norms and projections of every part of one layer's update at every token, for B pictures of one form.

    Attributes:
        norm, projection: [B, T, H + 2], of the heads, the bias and the MLP.
        update: [B, T], |u|.
        source_norm, source_projection: [B, H, T, T], of source i (last) as token j reads it.
    """

    @torch.no_grad()
    def __init__(self, adapter: Adapter, pixels: Tensor, form: Form, layer: int) -> None:
        site = adapter.sites[layer]
        heads, dh = adapter.geometry.heads_in[layer], adapter.geometry.head_width
        seen = _seen(adapter, pixels, form, layer)
        g1, g2 = site.scales or (1, 1)
        bias = site.output(torch.zeros(1, heads * dh))[0]
        parts = []
        for head in range(heads):
            alone = torch.zeros_like(seen["heads"])
            alone[..., head * dh : (head + 1) * dh] = seen["heads"][..., head * dh : (head + 1) * dh]
            parts.append(g1 * (site.output(alone) - bias))
        parts += [(g1 * bias).expand_as(seen["mlp"]), g2 * seen["mlp"]]
        u = seen["after"] - seen["before"]
        self.update = _norm(u)
        self.norm = np.stack([_norm(part) for part in parts], axis=-1)
        self.projection = np.stack([(part * u).sum(-1).double().numpy() / self.update for part in parts], axis=-1)
        self._by_source(adapter, pixels, form, layer, u / u.norm(dim=-1, keepdim=True), g1)

    def _by_source(self, adapter: Adapter, pixels: Tensor, form: Form, layer: int, direction: Tensor, g1: Any) -> None:
        attention, site = adapter.attention(pixels, [layer], form)[layer], adapter.sites[layer]
        batch, heads, tokens, dh = attention.values.shape
        self.source_norm, self.source_projection = (np.zeros((batch, heads, tokens, tokens)) for _ in range(2))
        for head in range(heads):
            weight = site.output.weight[:, head * dh : (head + 1) * dh]
            for i in range(tokens):
                said = g1 * (attention.values[:, head, i] @ weight.T)
                taken = attention.weights[:, head, :, i, None] * said[:, None]
                self.source_norm[:, head, :, i] = _norm(taken)
                self.source_projection[:, head, :, i] = (taken * direction).sum(-1)


def _seen(adapter: Adapter, pixels: Tensor, form: Form, layer: int) -> dict[str, Tensor]:
    """What a layer reads, its heads say, its MLP says and it writes, [B, T, width] each."""
    site = adapter.sites[layer]
    seen: dict[str, Tensor] = {}

    def keep(name: str, states: Any) -> None:
        states = states[0] if isinstance(states, tuple) else states
        tokens = states.shape[:-1].numel() // len(pixels)
        seen[name] = states.reshape(len(pixels), tokens, states.shape[-1])

    handles = [
        site.layer.register_forward_pre_hook(
            lambda module, args, kwargs: keep("before", first_given(args, kwargs)), with_kwargs=True
        ),
        site.layer.register_forward_hook(lambda module, args, out: keep("after", out)),
        site.output.register_forward_pre_hook(lambda module, args: keep("heads", args)),
        site.mlp.register_forward_hook(lambda module, args, out: keep("mlp", out)),
    ]
    try:
        adapter.encode(pixels, form)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _norm(states: Tensor) -> Floats:
    norms: Floats = states.norm(dim=-1).double().numpy()
    return norms
