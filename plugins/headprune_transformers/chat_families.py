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
            f"vision_feature_layer {chosen} reads the tower before its first layer", "there is nothing to score"
        )
    return reads


def _tile_tokens(config: Any) -> int:
    vision = config.vision_config
    return patches(vision) + int(vision.model_type != "siglip_vision_model")


def _with_qk_norm(config: Any) -> str | None:
    if not config.vision_config.use_qk_norm:
        return None
    return "queries and keys are normed over all heads together (use_qk_norm), so each head hangs on all others"


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
