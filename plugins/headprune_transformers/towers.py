"""Towers that several families have, and how many tokens a picture has in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headprune import TowerLayout

EVA = TowerLayout(
    tower="vision_model",
    layers="encoder.layers",
    attention="self_attn",
    qkv=("qkv",),
    output="projection",
    heads="num_heads",
    mlp="mlp",
    cls=True,
)
CLIP = TowerLayout(
    tower="vision_model",
    layers="encoder.layers",
    attention="self_attn",
    qkv=("q_proj", "k_proj", "v_proj"),
    output="out_proj",
    heads="num_heads",
    mlp="mlp",
    cls=True,
)
VIT = TowerLayout(
    tower="vit",
    layers="layers",
    attention="attention",
    qkv=("q_proj", "k_proj", "v_proj"),
    output="o_proj",
    heads="num_attention_heads",
    mlp="mlp",
    cls=True,
)


def patches(vision: Any) -> int:
    """Patches of a picture, or a tile, of the size in the tower's configuration."""
    (height, width), (high, wide) = _pair(vision.image_size), _pair(vision.patch_size)
    return int((height // high) * (width // wide))


def patches_and_cls(config: Any, _: Any) -> int:
    """Tokens of a picture in a tower with a CLS token."""
    return patches(config.vision_config) + 1


def _pair(size: int | Sequence[int]) -> Sequence[int]:
    return (size, size) if isinstance(size, int) else size
