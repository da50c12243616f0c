"""Floating-point operations of a tower pass, counted on paper: a multiplication and an addition are two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TowerShape:
    """A tower's sizes.

    Attributes:
        layers: L; heads: H, heads of a layer; width: d; head_width: dh.
        tokens: T, tokens of a picture; cls: how many of them are no patches.
        hidden: width of the MLP's hidden layer.
        patch_values: numbers in one patch (channels x side x side).
    """

    layers: int
    heads: int
    width: int
    head_width: int
    tokens: int
    cls: int
    hidden: int
    patch_values: int


def shape_of(vision: Any) -> TowerShape:
    """The sizes of a BLIP-2 tower, from its configuration."""
    return TowerShape(
        layers=vision.num_hidden_layers,
        heads=vision.num_attention_heads,
        width=vision.hidden_size,
        head_width=vision.hidden_size // vision.num_attention_heads,
        tokens=(vision.image_size // vision.patch_size) ** 2 + 1,
        cls=1,
        hidden=vision.intermediate_size,
        patch_values=3 * vision.patch_size**2,
    )


def tower_flops(shape: TowerShape, kept: Sequence[int]) -> int:
    """Operations for one picture, the matrix products alone; layer l has kept[l] heads left."""
    embedding = 2 * (shape.tokens - shape.cls) * shape.patch_values * shape.width
    return embedding + sum(_layer_flops(shape, heads * shape.head_width) for heads in kept)


def _layer_flops(shape: TowerShape, inner: int) -> int:
    """`inner` is the width of all head outputs side by side."""
    qkv = 2 * shape.tokens * shape.width * 3 * inner
    scores = weighted = 2 * shape.tokens**2 * inner
    projection = 2 * shape.tokens * inner * shape.width
    mlp = 2 * 2 * shape.tokens * shape.width * shape.hidden
    return qkv + scores + weighted + projection + mlp
