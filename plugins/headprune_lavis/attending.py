"""Attention weights of LAVIS's towers, which give none away: worked out again of what their attention reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from headprune import Site


@torch.no_grad()
def attention_weights(sites: Sequence[Site], layers: Sequence[int], run: Callable[[], None]) -> dict[int, Tensor]:
    """layer -> a, [B, H, T, T] float32: token j takes a[b, h, j, i] of token i (Eq. 6-7). Rows sum to 1.

    Args:
        sites: the tower's layers.
        layers: whose weights are wanted, 0-based.
        run: runs the tower once.
    """
    found: dict[int, Tensor] = {}

    def keep(layer: int) -> Callable[..., None]:
        return lambda attention, args: found.update({layer: _weights(attention, args[0])})

    handles = [sites[layer].attention.register_forward_pre_hook(keep(layer)) for layer in layers]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return found


def _weights(attention: Any, x: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(dh)) of one layer, which reads x [B, T, d]."""
    heads = attention.num_heads
    batch, tokens, _ = x.shape
    if not heads:
        return x.new_zeros(batch, 0, tokens, tokens, dtype=torch.float32)
    if hasattr(attention, "in_proj_weight"):
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
    else:
        weight, bias = attention.qkv.weight, None
        if attention.q_bias is not None:
            bias = torch.cat([attention.q_bias, torch.zeros_like(attention.v_bias), attention.v_bias])
    q, k, _ = F.linear(x, weight, bias).view(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
    scores: Tensor = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    return scores.softmax(dim=-1, dtype=torch.float32)
