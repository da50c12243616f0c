"""The supported families, each a declaration: which class loads it and where its tower keeps its parts."""

from __future__ import annotations

from typing import Any

from headprune import TowerLayout
from headprune_transformers.family import Family
from headprune_transformers.packed import PackedAdapter, deepstack, patches
from headprune_transformers.querying import QueryingAdapter

_EVA_TOWER = TowerLayout(
    tower="vision_model",
    layers="encoder.layers",
    attention="self_attn",
    qkv=("qkv",),
    output="projection",
    heads="num_heads",
    cls=True,
)

_PACKED_TOWER = TowerLayout(
    tower="model.visual",
    layers="blocks",
    attention="attn",
    qkv=("qkv",),
    output="proj",
    heads="num_heads",
    cls=False,
)


def _patches(vision: Any) -> int:
    """Patches of a picture of the configured size."""
    return int((vision.image_size // vision.patch_size) ** 2)


def _patches_and_cls(config: Any) -> int:
    return _patches(config.vision_config) + 1


def _head_of_t5(config: Any) -> int:
    """A language model's own head: T5's configuration says that it is tied to the embeddings, whatever was written.

    Loading finds it in the checkpoint and keeps it; until then a scale that belongs to tied ones is all that tells.
    """
    text = config.text_config
    apart = text.model_type == "t5" and not text.scale_decoder_outputs
    return int(text.vocab_size * text.d_model) if apart else 0


def _qwen(model_type: str, model_class: str, **others: Any) -> Family:
    return Family(
        model_type,
        model_class,
        "AutoModelForImageTextToText",
        PackedAdapter,
        _PACKED_TOWER,
        "vision_config.num_heads",
        "patch_embed",
        patches,
        prompt="Describe the image.",
        **others,
    )


FAMILIES = {
    family.model_type: family
    for family in (
        Family(
            "blip-2",
            "Blip2ForConditionalGeneration",
            "AutoModelForImageTextToText",
            QueryingAdapter,
            _EVA_TOWER,
            "vision_config.num_attention_heads",
            "embeddings",
            _patches_and_cls,
            untold=_head_of_t5,
        ),
        # InstructBLIP's Q-Former reads the instruction too, so there has to be one.
        Family(
            "instructblip",
            "InstructBlipForConditionalGeneration",
            "AutoModelForImageTextToText",
            QueryingAdapter,
            _EVA_TOWER,
            "vision_config.num_attention_heads",
            "embeddings",
            _patches_and_cls,
            prompt="A short image description.",
            untold=_head_of_t5,
        ),
        _qwen("qwen2_vl", "Qwen2VLForConditionalGeneration"),
        _qwen("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"),
        _qwen("qwen3_vl", "Qwen3VLForConditionalGeneration", reads=deepstack),
    )
}
