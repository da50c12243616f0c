"""Real sizes without weights: published configurations, built on the meta device."""

from __future__ import annotations

from pathlib import Path

import transformers

from headprune import Geometry
from headprune.towers.load import outline_model

CLIP_L_336 = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "image_size": 336,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": 14,
    "projection_dim": 768,
}
VICUNA = {"model_type": "llama", "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "vocab_size": 32064}


def test_llava_1_5_7b(tmp_path: Path):
    transformers.LlavaConfig(vision_config=CLIP_L_336, text_config=VICUNA, dtype="float16").save_pretrained(tmp_path)
    outline = outline_model(str(tmp_path))
    assert outline.geometry == Geometry(layers=24, heads=16, width=1024, head_width=64, cls=True)
    assert outline.geometry.dead == 1
    assert outline.tokens == (336 // 14) ** 2 + 1
    # The published sizes: 7.06 billion parameters, CLIP ViT-L/14's tower of 304 M.
    assert round(outline.parameters / 1e7) == 706
    assert round(outline.tower_parameters / 1e6) in (303, 304)


def test_llava_next_mistral_7b(tmp_path: Path):
    mistral = {"model_type": "mistral", "intermediate_size": 14336, "num_key_value_heads": 8, "vocab_size": 32064}
    transformers.LlavaNextConfig(vision_config=CLIP_L_336, text_config=mistral).save_pretrained(tmp_path)
    outline = outline_model(str(tmp_path))
    assert outline.geometry.dead == 1
    # 640 x 480 is cut into 2 x 2 tiles, and seen as a whole: five times through the tower.
    assert outline.tokens == 5 * 577
    assert round(outline.parameters / 1e8) == 76


def test_paligemma_3b(tmp_path: Path):
    transformers.PaliGemmaConfig().save_pretrained(tmp_path)
    outline = outline_model(str(tmp_path))
    assert outline.geometry == Geometry(layers=27, heads=16, width=1152, head_width=72, cls=False)
    assert outline.geometry.dead == 0
    assert outline.tokens == 256
    assert 2.9e9 < outline.parameters < 2.95e9


def test_internvl3_1b(tmp_path: Path):
    qwen = {
        "model_type": "qwen2",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151674,
    }
    config = transformers.InternVLConfig(
        vision_config={"attention_bias": True}, text_config=qwen, tie_word_embeddings=False
    )
    config.save_pretrained(tmp_path)
    outline = outline_model(str(tmp_path))
    assert outline.geometry == Geometry(layers=24, heads=16, width=1024, head_width=64, cls=True)
    # 640 x 480: 4 x 3 tiles and the whole.
    assert outline.tokens == 13 * 1025
    assert round(outline.parameters / 1e7) == 94
