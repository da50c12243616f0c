"""Operations counted on paper are those that torch counts."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.flops import shape_of, tower_flops


def test_equals_torchs_own_count(tiny, pictures):
    pixels = tiny.prepare(pictures)
    # torch counts nothing of a CPU's fused attention.
    tiny.tower.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        tiny.encode(pixels)
    shape = shape_of(tiny.model.config.vision_config)
    assert counted.get_total_flops() == len(pixels) * tower_flops(shape, [shape.heads] * shape.layers)


def test_heads_that_are_gone_take_their_share_along(tiny):
    shape = shape_of(tiny.model.config.vision_config)
    whole, half, none = (tower_flops(shape, [kept] * shape.layers) for kept in (shape.heads, shape.heads // 2, 0))
    assert whole - half == half - none > 0
