"""The families that are asked by a prompt with the picture in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from headprune import TowerLayout
from headprune_transformers.adapters import packed
from headprune_transformers.adapters.chatting import ChatAdapter
from headprune_transformers.adapters.packed import PackedAdapter
from headprune_transformers.adapters.prefixing import PrefixAdapter
from headprune_transformers.adapters.tiling import GridAdapter, ThumbnailAdapter, grid_tiles, thumbnail_tiles
from headprune_transformers.family import Family
from headprune_transformers.towers import CLIP, patches

_PROMPT = "Describe the image."

_CLIP_TOWER = replace(CLIP, tower="model.vision_tower")
_SIGLIP_TOWER = replace(_CLIP_TOWER, cls=False)
_CLIP_OR_SIGLIP = {"clip_vision_model": _CLIP_TOWER, "siglip_vision_model": _SIGLIP_TOWER}
_INTERN_TOWER = TowerLayout(
    tower="model.vision_tower",
    layers="encoder.layer",
    attention="attention",
    qkv=("q_proj", "k_proj", "v_proj"),
    output="projection_layer",
    heads="num_heads",
    mlp="mlp",
    cls=True,
    scales=("lambda_1", "lambda_2"),
)


def _feature_layers(config: Any) -> tuple[int, ...]:
    chosen = config.vision_feature_layer
    return (chosen,) if isinstance(chosen, int) else tuple(chosen)


def _other_tower(*kinds: str) -> Callable[[Any], str | None]:
    def refused(config: Any) -> str | None:
        kind = config.vision_config.model_type
        return None if kind in kinds else f"its tower is a {kind}, and only {' and '.join(kinds)} are"

    return refused


def _llava_refused(config: Any) -> str | None:
    reads, layers = _feature_layers(config), config.vision_config.num_hidden_layers
    if any(depth % (layers + 1) == 0 for depth in reads):
        return f"its connector reads depths {reads} of {layers} layers, one of them before the first layer"
    return _other_tower(*_CLIP_OR_SIGLIP)(config)


def _tile_tokens(config: Any, _: Any = None) -> int:
    vision = config.vision_config
    return patches(vision) + int(vision.model_type != "siglip_vision_model")


def _with_qk_norm(config: Any) -> str | None:
    if not config.vision_config.use_qk_norm:
        return None
    return "queries and keys are normed over all heads together (use_qk_norm), so each head hangs on all others"


_PACKED_TOWER = TowerLayout(
    tower="model.visual",
    layers="blocks",
    attention="attn",
    qkv=("qkv",),
    output="proj",
    heads="num_heads",
    mlp="mlp",
    cls=False,
)


def _qwen(model_type: str, model_class: str, reads: Callable[[Any], tuple[int, ...]] = lambda config: (-1,)) -> Family:
    return Family(
        model_type,
        model_class,
        "AutoModelForImageTextToText",
        PackedAdapter,
        _PACKED_TOWER,
        "vision_config.num_heads",
        "patch_embed",
        lambda config, _: packed.tokens(config),
        prompt=_PROMPT,
        reads=reads,
    )


CHAT_MODELS = (
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
        refused=_llava_refused,
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
        lambda config, _: grid_tiles(config) * _tile_tokens(config),
        prompt=_PROMPT,
        reads=_feature_layers,
        refused=_llava_refused,
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
        refused=_other_tower("siglip_vision_model"),
    ),
    Family(
        "internvl",
        "InternVLForConditionalGeneration",
        "AutoModelForImageTextToText",
        ThumbnailAdapter,
        _INTERN_TOWER,
        "vision_config.num_attention_heads",
        "embeddings",
        lambda config, _: thumbnail_tiles(config) * _tile_tokens(config),
        prompt=_PROMPT,
        reads=_feature_layers,
        unsliceable=_with_qk_norm,
        refused=_other_tower("internvl_vision"),
        inner="embed_dim",
    ),
    _qwen("qwen2_vl", "Qwen2VLForConditionalGeneration"),
    _qwen("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"),
    _qwen("qwen3_vl", "Qwen3VLForConditionalGeneration", packed.deepstack),
)
