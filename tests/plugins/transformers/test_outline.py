"""Real sizes without their weights: configurations as the hub has them, built on the meta device."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headprune import Geometry, resolve
from headprune.jobs.score import dry_run_score
from headprune.towers.load import outline_model

FLAN_T5_XL = {
    "model_type": "t5",
    "d_model": 2048,
    "d_ff": 5120,
    "d_kv": 64,
    "num_layers": 24,
    "num_heads": 32,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
}
VIT_L = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": 14,
    "projection_dim": 768,
}


@dataclass(frozen=True)
class Real:
    """A checkpoint as its configuration describes it, and what is known of it: parameters in all and in the tower."""

    config: dict[str, Any]
    geometry: Geometry
    tokens: int
    parameters: int
    tower: int
    dtype: str = "bfloat16"


VIT_G = Geometry(layers=39, heads=16, width=1408, head_width=88, cls=True)
REAL = {
    # 3.94 B and 4.02 B on the hub: each with Flan-T5-XL, 2,849,757,184, whose head is its own.
    "blip2-flan-t5-xl": Real(
        {"model_type": "blip-2", "text_config": FLAN_T5_XL}, VIT_G, 257, 3_942_446_592, 985_952_256
    ),
    "instructblip-flan-t5-xl": Real(
        {"model_type": "instructblip", "text_config": FLAN_T5_XL}, VIT_G, 257, 4_022_968_320, 985_952_256
    ),
    "llava-1.5-7b": Real(
        {
            "model_type": "llava",
            "image_token_index": 32000,
            "text_config": {
                "model_type": "llama",
                "max_position_embeddings": 4096,
                "rms_norm_eps": 1e-5,
                "vocab_size": 32064,
            },
            "vision_config": {"model_type": "clip_vision_model", **VIT_L, "image_size": 336, "vocab_size": 32000},
        },
        # Z[23] is read: layer 23, the last of 24, is dead.
        Geometry(layers=24, heads=16, width=1024, head_width=64, cls=True, dead=1),
        577,
        7_063_427_072,
        303_507_456,
    ),
    "qwen2.5-vl-7b": Real(
        {
            "model_type": "qwen2_5_vl",
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152064,
            "tie_word_embeddings": False,
            "vision_config": {
                "depth": 32,
                "hidden_size": 1280,
                "intermediate_size": 3420,
                "num_heads": 16,
                "out_hidden_size": 3584,
                "window_size": 112,
                "fullatt_block_indexes": [7, 15, 23, 31],
            },
        },
        Geometry(layers=32, heads=16, width=1280, head_width=80, cls=False),
        # 640 x 480 becomes 644 x 476, 46 x 34 patches of 14.
        46 * 34,
        8_292_166_656,
        676_550_144,
    ),
    "clip-vit-large-patch14": Real(
        {
            "model_type": "clip",
            "projection_dim": 768,
            "text_config": {
                "hidden_size": 768,
                "intermediate_size": 3072,
                "num_attention_heads": 12,
                "num_hidden_layers": 12,
                "projection_dim": 768,
            },
            "vision_config": VIT_L,
        },
        Geometry(layers=24, heads=16, width=1024, head_width=64, cls=True),
        257,
        427_616_513,
        303_179_776,
        "float32",
    ),
}


@pytest.fixture(params=REAL)
def real(request) -> Real:
    return REAL[request.param]


@pytest.fixture
def folder(real, tmp_path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(real.config | {"torch_dtype": real.dtype}))
    return tmp_path


def test_geometry_and_sizes(real, folder):
    outline = outline_model(str(folder))
    assert outline.geometry == real.geometry and outline.geometry.dead == real.geometry.dead
    assert (outline.tokens, outline.parameters, outline.tower_parameters) == (
        real.tokens,
        real.parameters,
        real.tower,
    )
    assert outline.download == 0


def test_what_algorithm_1_would_cost(real, folder):
    """100 samples, every live layer, decoded there: one pass a picture, a replay and a caption a head."""
    recipe = resolve(None, {"model": str(folder), "data": "demo", "dtype": real.dtype, "scorer": "bleu"}).recipe
    geometry, estimate, available = dry_run_score(recipe)
    heads = geometry.live * geometry.heads
    assert (geometry, available) == (real.geometry, 600)
    assert estimate.tower_passes == 100
    assert estimate.layer_replays == 100 * heads
    assert estimate.decodes == 100 * (heads + geometry.live)
    assert estimate.weight_bytes == real.parameters * (2 if real.dtype == "bfloat16" else 4)
    # A picture's captures, three states a layer, and a batch of rows.
    state = real.tokens * geometry.width * (2 if real.dtype == "bfloat16" else 4)
    assert 3 * geometry.layers * state < estimate.working_bytes < 8 << 30
