"""The families that are asked by a prompt with the picture in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headprune import ModelError, TowerLayout
from headprune_transformers.chatting import ChatAdapter
from headprune_transformers.family import Family
from headprune_transformers.patches import patches
from headprune_transformers.prefixing import PrefixAdapter
from headprune_transformers.tiling import GridAdapter, ThumbnailAdapter, grid_tiles, thumbnail_tiles

_PROMPT = "Describe the image."

_CLIP_TOWER = TowerLayout(
    tower="model.vision_tower",
    layers="encoder.layers",
    attention="self_attn",
    qkv=("q_proj", "k_proj", "v_proj"),
    output="out_proj",
    heads="num_heads",
    cls=True,
)
_SIGLIP_TOWER = replace(_CLIP_TOWER, cls=False)
_CLIP_OR_SIGLIP = {"clip_vision_model": _CLIP_TOWER, "siglip_vision_model": _SIGLIP_TOWER}
_INTERN_TOWER = TowerLayout(
    tower="model.vision_tower",
    layers="encoder.layer",
    attention="attention",
    qkv=("q_proj", "k_proj", "v_proj"),
    output="projection_layer",
    heads="num_heads",
    cls=True,
)


def _feature_layers(config: Any) -> tuple[int, ...]:
    chosen = config.vision_feature_layer
    reads = (chosen,) if isinstance(chosen, int) else tuple(chosen)
    if any(depth % (config.vision_config.num_hidden_layers + 1) == 0 for depth in reads):
        raise ModelError(
            f"vision_feature_layer {chosen} is what no layer has seen yet", "headprune needs a depth behind a layer"
        )
    return reads


def _tile_tokens(config: Any) -> int:
    return patches(config.vision_config) + (config.vision_config.model_type != "siglip_vision_model")


def _with_qk_norm(config: Any) -> str | None:
    normed = "its towers norm queries and keys over all heads at once (use_qk_norm): without some, all others change"
    return normed if config.vision_config.use_qk_norm else None


CHAT_FAMILIES = (
    Family(
        "llava",
        "LlavaForConditionalGeneration",
        "AutoModelForImageTextToText",
        ChatAdapter,
        _CLIP_TOWER,
        "vision_config.num_attention_heads",
        "embeddings",
        _tile_tokens,
        prompt=_PROMPT,
        reads=_feature_layers,
        towers=_CLIP_OR_SIGLIP,
    ),
    Family(
        "llava_next",
        "LlavaNextForConditionalGeneration",
        "AutoModelForImageTextToText",
        GridAdapter,
        _CLIP_TOWER,
        "vision_config.num_attention_heads",
        "embeddings",
        lambda config: grid_tiles(config) * _tile_tokens(config),
        prompt=_PROMPT,
        reads=_feature_layers,
        towers=_CLIP_OR_SIGLIP,
    ),
    Family(
        "paligemma",
        "PaliGemmaForConditionalGeneration",
        "AutoModelForImageTextToText",
        PrefixAdapter,
        _SIGLIP_TOWER,
        "vision_config.num_attention_heads",
        "embeddings",
        _tile_tokens,
        prompt="caption en",
        towers={"siglip_vision_model": _SIGLIP_TOWER},
    ),
    Family(
        "internvl",
        "InternVLForConditionalGeneration",
        "AutoModelForImageTextToText",
        ThumbnailAdapter,
        _INTERN_TOWER,
        "vision_config.num_attention_heads",
        "embeddings",
        lambda config: thumbnail_tiles(config) * _tile_tokens(config),
        prompt=_PROMPT,
        reads=_feature_layers,
        unsliceable=_with_qk_norm,
        towers={"internvl_vision": _INTERN_TOWER},
        inner="embed_dim",
    ),
)
