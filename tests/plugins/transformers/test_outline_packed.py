"""Real sizes without weights: config.json as on the hub, built on the meta device."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from headprune import Geometry, Notice
from headprune.towers.load import outline_model

COMMON = {
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
    "image_token_id": 151655,
    "video_token_id": 151656,
}
# The older two keep the language model's settings beside the rest.
QWEN2 = {
    **COMMON,
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "hidden_size": 3584,
    "initializer_range": 0.02,
    "intermediate_size": 18944,
    "max_window_layers": 28,
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_sliding_window": False,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "vocab_size": 152064,
    "vision_token_id": 151654,
}
QWEN2_VL_7B = {
    **QWEN2,
    "architectures": ["Qwen2VLForConditionalGeneration"],
    "model_type": "qwen2_vl",
    "max_position_embeddings": 32768,
    "vision_config": {
        "depth": 32,
        "embed_dim": 1280,
        "mlp_ratio": 4,
        "num_heads": 16,
        "in_chans": 3,
        "hidden_size": 3584,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "spatial_patch_size": 14,
        "temporal_patch_size": 2,
    },
}
QWEN2_5_VL_7B = {
    **QWEN2,
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "model_type": "qwen2_5_vl",
    "max_position_embeddings": 128000,
    "vision_config": {
        "depth": 32,
        "hidden_act": "silu",
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "in_chans": 3,
        "out_hidden_size": 3584,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "spatial_patch_size": 14,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "tokens_per_second": 2,
        "temporal_patch_size": 2,
    },
}
QWEN3_VL_8B = {
    "architectures": ["Qwen3VLForConditionalGeneration"],
    "model_type": "qwen3_vl",
    "image_token_id": 151655,
    "video_token_id": 151656,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
    "tie_word_embeddings": False,
    "text_config": {
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 151643,
        "dtype": "bfloat16",
        "eos_token_id": 151645,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 4096,
        "initializer_range": 0.02,
        "intermediate_size": 12288,
        "max_position_embeddings": 262144,
        "model_type": "qwen3_vl_text",
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-06,
        "rope_scaling": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_type": "default"},
        "rope_theta": 5000000,
        "use_cache": True,
        "vocab_size": 151936,
    },
    "vision_config": {
        "deepstack_visual_indexes": [8, 16, 24],
        "depth": 27,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": 1152,
        "in_channels": 3,
        "initializer_range": 0.02,
        "intermediate_size": 4304,
        "model_type": "qwen3_vl",
        "num_heads": 16,
        "num_position_embeddings": 2304,
        "out_hidden_size": 4096,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
}


@pytest.mark.parametrize(
    ("config", "geometry", "tokens", "parameters", "tower"),
    [
        # The published sizes of the whole; 640 x 480 pixels are 34 x 46 patches of 14, and 30 x 40 of 16.
        (QWEN2_VL_7B, Geometry(32, 16, 1280, 80, False), 1564, 8_291_375_616, 675_759_104),
        (QWEN2_5_VL_7B, Geometry(32, 16, 1280, 80, False), 1564, 8_292_166_656, 676_550_144),
        (QWEN3_VL_8B, Geometry(27, 16, 1152, 72, False), 1200, 8_767_123_696, 576_388_336),
    ],
    ids=["qwen2-vl-7b", "qwen2.5-vl-7b", "qwen3-vl-8b"],
)
def test_real_sizes(
    tmp_path: Path, config: dict[str, Any], geometry: Geometry, tokens: int, parameters: int, tower: int
):
    (tmp_path / "config.json").write_text(json.dumps(config))
    begun = time.perf_counter()
    with pytest.warns(Notice, match="the checkpoint's bfloat16 is slow on a CPU"):
        outline = outline_model(str(tmp_path))
    assert time.perf_counter() - begun < 20
    assert outline.geometry == geometry
    assert outline.tokens == tokens
    assert outline.parameters == parameters
    assert outline.tower_parameters == tower
