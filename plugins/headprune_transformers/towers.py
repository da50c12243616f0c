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
    rows, columns = patch_grid(vision, *pair(vision.image_size))
    return rows * columns


def patch_grid(vision: Any, height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of patches that a tower cuts so many pixels into."""
    high, wide = pair(vision.patch_size)
    return int(height // high), int(width // wide)


def patches_and_cls(config: Any, _: Any) -> int:
    """Tokens of a picture in a tower with a CLS token."""
    return patches(config.vision_config) + 1


def pair(size: int | Sequence[int]) -> Sequence[int]:
    """(height, width), where a configuration may hold one number for both."""
    return (size, size) if isinstance(size, int) else size
