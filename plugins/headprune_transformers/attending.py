"""Attention weights and values, while the model goes on computing attention as it does.

transformers gives no weights away unless a whole model is switched to its slow implementation. For the length of one
pass the tower's layers are given an implementation of ours, which does what the slow one does and keeps the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from headprune import Attention, ModelError, Site

_NAME = "headprune-attending"
_Seen = dict[nn.Module, list[Tensor]]
_watching: ContextVar[_Seen] = ContextVar("headprune-attending")


# The names of the parameters are the interface's.
def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    scores = query @ key.transpose(-1, -2) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = scores.softmax(dim=-1, dtype=torch.float32)
    seen = _watching.get()
    if module in seen:
        seen[module].append(weights)
    weights = weights.to(query.dtype)
    return (weights @ value).transpose(1, 2).contiguous(), weights


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, eager_mask)


@torch.no_grad()
def attention_of(
    sites: Sequence[Site], layers: Collection[int], run: Callable[[], None], pictures: int, head_width: int
) -> dict[int, Attention]:
    """layer -> weights [B, H, T, T] and values [B, H, T, dh] of its heads (Eq. 6-7).

    Args:
        sites: the tower's layers.
        layers: whose attention is wanted, 0-based.
        run: runs the tower once on B `pictures` of one form.
        head_width: dh.

    Raises:
        ModelError: a layer gives no weights away, or was not seen to make values.
    """
    watched = {sites[layer].attention: layer for layer in layers}
    seen: _Seen = {attention: [] for attention in watched}
    given: dict[nn.Module, Any] = {}
    projections = [sites[layer].qkv[-1] for layer in watched.values()]
    handles = [
        module.register_forward_hook(lambda module, args, out: given.update({module: out}))
        for module in (*watched, *projections)
    ]
    token = _watching.set(seen)
    try:
        with _switched([site.attention for site in sites]):
            run()
    finally:
        _watching.reset(token)
        for handle in handles:
            handle.remove()
    found = {}
    for attention, layer in watched.items():
        site = sites[layer]
        if not site.output.in_features:
            found[layer] = _of_no_heads(site, given[attention], pictures, head_width)
            continue
        # BLIP's attention asks no implementation: it always hands its weights out.
        parts = seen[attention] or [_handed_out(layer, given[attention])]
        weights = torch.cat([_side_by_side(rows) for rows in _by_picture(parts, pictures)])
        found[layer] = Attention(weights, _values(site, given.get(site.qkv[-1]), pictures, head_width))
    return found


@contextmanager
def _switched(attentions: Sequence[nn.Module]) -> Iterator[None]:
    """Within the context these modules attend by our implementation; only they and their masks read it."""
    configs: dict[int, Any] = {id(module.config): module.config for module in attentions if hasattr(module, "config")}
    # The plain attribute: the property would switch the configurations below, a language model's say, as well.
    before = [(config, config._attn_implementation_internal) for config in configs.values()]
    try:
        for config, _ in before:
            config._attn_implementation_internal = _NAME
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation_internal = implementation


def _handed_out(layer: int, answer: Any) -> Tensor:
    if isinstance(answer, tuple) and len(answer) > 1 and isinstance(answer[1], Tensor):
        return answer[1].float()
    raise ModelError(f"layer {layer} gives no attention weights", "this family needs a way of its own")


def _values(site: Site, projected: Tensor | None, pictures: int, head_width: int) -> Tensor:
    """v [B, H, T, dh]: the last columns of what the last projection of q, k and v said, in the tower's own layout."""
    if projected is None:
        raise ModelError(f"layer {site.index} projected no values", "this family needs a way of its own")
    inner = site.output.in_features
    by_token = projected[..., -inner:].reshape(pictures, -1, inner // head_width, head_width)
    return by_token.transpose(1, 2)


def _of_no_heads(site: Site, answer: Any, pictures: int, head_width: int) -> Attention:
    """A layer that lost all its heads asks no implementation, and has nothing to hand out."""
    states: Tensor = answer[0] if isinstance(answer, tuple) else answer
    tokens = states.numel() // (pictures * site.output.out_features)
    weights = states.new_zeros(pictures, 0, tokens, tokens, dtype=torch.float32)
    return Attention(weights, states.new_zeros(pictures, 0, tokens, head_width))


def _by_picture(parts: list[Tensor], pictures: int) -> Iterator[list[Tensor]]:
    """Weights as they were computed, [b, H, t, t] each, one picture's behind one another -> picture by picture."""
    apart = [block for part in parts for block in part.unsqueeze(1)]
    each = len(apart) // pictures
    for start in range(0, len(apart), each):
        yield apart[start : start + each]


def _side_by_side(blocks: list[Tensor]) -> Tensor:
    """Blocks [1, H, t, t] on the diagonal of [1, H, T, T]."""
    if len(blocks) == 1:
        return blocks[0]
    total = sum(block.shape[-1] for block in blocks)
    whole = blocks[0].new_zeros(*blocks[0].shape[:2], total, total)
    start = 0
    for block in blocks:
        stop = start + block.shape[-1]
        whole[..., start:stop, start:stop] = block
        start = stop
    return whole
