"""The floor: the arithmetic that cannot be left out, in straight-line code for BLIP-2 alone, with no bookkeeping.

One tower pass over the pictures, the remainder of a layer (and, at `last`, the layers behind it) over its variants,
one decode of all variants, both in batches of the size that was fastest.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.task import Captions, Task
from headprune import DecodePoint


@torch.no_grad()
def floor(task: Task, size: int, step: int) -> Captions:
    """`size`: rows decoded together; `step`: rows that go through layers together."""
    tower = task.model.vision_model
    layers = tower.encoder.layers
    states = tower.embeddings(task.pixels(task.pictures))
    variants: list[Tensor] = []
    for index in range(task.layers[-1] + 1):
        heads = _attend(layers[index], states)
        if index in task.layers:
            until = len(layers) if task.decode_at is DecodePoint.LAST else index + 1
            variants += _variants(layers[index:until], states, heads, step)
        states = _finish(layers[index], states, heads.flatten(-2))
    captions = [caption for rows in torch.split(torch.cat(variants), size) for caption in _decode(task, rows)]
    pictures = range(len(task.pictures))
    keys = [(picture, layer, head) for layer in task.layers for head in range(task.heads) for picture in pictures]
    return dict(zip(keys, captions, strict=True))


def _variants(layers: Any, states: Tensor, heads: Tensor, step: int) -> list[Tensor]:
    """States [B, T, d] before the first of `layers`, its heads [B, T, H, dh] -> [H*B, T, d] behind the last."""
    total = heads.shape[2]
    without = heads.repeat(total, 1, 1, 1, 1)  # [H, B, T, H, dh]
    for head in range(total):
        without[head, :, :, head] = 0
    parts = []
    outputs = torch.split(without.flatten(-2).flatten(0, 1), step)
    for some, residual in zip(outputs, torch.split(states.repeat(total, 1, 1), step), strict=True):
        rows = _finish(layers[0], residual, some)
        for later in layers[1:]:
            rows = _finish(later, rows, _attend(later, rows).flatten(-2))
        parts.append(rows)
    return parts


def _attend(layer: Any, states: Tensor) -> Tensor:
    """States [B, T, d] -> head outputs [B, T, H, dh]."""
    attention = layer.self_attn
    count, tokens, _ = states.shape
    mixed = attention.qkv(layer.layer_norm1(states)).view(count, tokens, 3, attention.num_heads, attention.head_dim)
    q, k, v = mixed.permute(2, 0, 3, 1, 4)
    return scaled_dot_product_attention(q, k, v, scale=attention.scale).transpose(1, 2)


def _finish(layer: Any, residual: Tensor, heads: Tensor) -> Tensor:
    """The layer's remainder: residual [R, T, d], head outputs [R, T, H*dh] -> [R, T, d]."""
    middle = residual + layer.self_attn.projection(heads)
    finished: Tensor = middle + layer.mlp(layer.layer_norm2(middle))
    return finished


def _decode(task: Task, states: Tensor) -> list[str]:
    """[R, T, d] -> R captions: final norm, Q-Former, projection, language model."""
    model = task.model
    rows = len(states)
    queries = model.qformer(
        query_embeds=model.query_tokens.expand(rows, -1, -1),
        encoder_hidden_states=model.vision_model.post_layernorm(states),
    ).last_hidden_state
    begin = torch.full((rows, 1), model.config.text_config.bos_token_id, device=states.device)
    embeds = torch.cat([model.language_projection(queries), model.get_input_embeddings()(begin)], dim=1)
    tokens = model.language_model.generate(
        inputs_embeds=embeds,
        attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long, device=states.device),
        max_new_tokens=task.max_new_tokens,
        do_sample=False,
    )
    return task.words(tokens)
