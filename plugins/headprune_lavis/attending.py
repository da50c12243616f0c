"""Attention weights and values of LAVIS's towers, worked out again: these give none away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from headprune import Attention, Site


@torch.no_grad()
def attention_of(
    sites: Sequence[Site], layers: Sequence[int], run: Callable[[], None], head_width: int
) -> dict[int, Attention]:
    """layer -> weights [B, H, T, T] and values [B, H, T, dh] of its heads (Eq. 6-7).

    Args:
        sites: the tower's layers.
        layers: whose attention is wanted, 0-based.
        run: runs the tower once.
        head_width: dh.
    """
    found: dict[int, Attention] = {}

    def keep(layer: int) -> Callable[..., None]:
        return lambda attention, args: found.update({layer: _attention(attention, args[0], head_width)})

    handles = [sites[layer].attention.register_forward_pre_hook(keep(layer)) for layer in layers]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return found


def _attention(attention: Any, x: Tensor, head_width: int) -> Attention:
    """softmax(q k^T / sqrt(dh)) and v of one layer, which reads x [B, T, d]."""
    heads = attention.num_heads
    batch, tokens, _ = x.shape
    if not heads:
        weights = x.new_zeros(batch, 0, tokens, tokens, dtype=torch.float32)
        return Attention(weights, x.new_zeros(batch, 0, tokens, head_width))
    if hasattr(attention, "in_proj_weight"):
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
    else:
        weight, bias = attention.qkv.weight, None
        if attention.q_bias is not None:
            bias = torch.cat([attention.q_bias, torch.zeros_like(attention.v_bias), attention.v_bias])
    q, k, v = F.linear(x, weight, bias).view(batch, tokens, 3, heads, head_width).permute(2, 0, 3, 1, 4)
    scores: Tensor = q @ k.transpose(-1, -2) * head_width**-0.5
    return Attention(scores.softmax(dim=-1, dtype=torch.float32), v)
