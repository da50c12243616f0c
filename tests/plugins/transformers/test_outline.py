"""A real size without its weights: the configuration of BLIP-2 Flan-T5-XL, built on the meta device."""

from __future__ import annotations

from pathlib import Path

import transformers

from headprune import Geometry
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
    "dtype": "bfloat16",
}


def test_blip2_flan_t5_xl(tmp_path: Path):
    config = transformers.Blip2Config(text_config=FLAN_T5_XL, dtype="bfloat16")
    config.save_pretrained(tmp_path)
    outline = outline_model(str(tmp_path))
    assert outline.geometry == Geometry(layers=39, heads=16, width=1408, head_width=88, cls=True)
    assert outline.tokens == (224 // 14) ** 2 + 1
    # The published size: a tower of 986 M, 3.9 billion in all.
    assert round(outline.tower_parameters / 1e6) == 986
    assert 3.85e9 < outline.parameters < 3.96e9
    assert outline.download == 0
