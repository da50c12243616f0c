"""The supported families, each a declaration: which class loads it and where its tower keeps its parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from headprune import TowerLayout
from headprune_transformers.choosing import ClassifierAdapter, SigmoidAdapter, ZeroShotAdapter
from headprune_transformers.family import Family
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


_CLIP_TOWER = TowerLayout(
    tower="vision_model",
    layers="encoder.layers",
    attention="self_attn",
    qkv=("q_proj", "k_proj", "v_proj"),
    output="out_proj",
    heads="num_heads",
    cls=True,
)
_VIT_TOWER = TowerLayout(
    tower="vit",
    layers="layers",
    attention="attention",
    qkv=("q_proj", "k_proj", "v_proj"),
    output="o_proj",
    heads="num_attention_heads",
    cls=True,
)


def _patches(vision: Any) -> int:
    """Patches of a picture of the configured size, which is a number or two."""
    (height, width), (down, across) = map(_pair, (vision.image_size, vision.patch_size))
    return (height // down) * (width // across)


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    down, across = (size, size) if isinstance(size, int) else size
    return down, across


def _patches_and_cls(config: Any) -> int:
    return _patches(config.vision_config) + 1


def _head_of_t5(config: Any) -> int:
    """A language model's own head: T5's configuration says that it is tied to the embeddings, whatever was written.

    Loading finds it in the checkpoint and keeps it; until then a scale that belongs to tied ones is all that tells.
    """
    text = config.text_config
    apart = text.model_type == "t5" and not text.scale_decoder_outputs
    return int(text.vocab_size * text.d_model) if apart else 0


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
        Family(
            "clip",
            "CLIPModel",
            "AutoModelForZeroShotImageClassification",
            ZeroShotAdapter,
            _CLIP_TOWER,
            "vision_config.num_attention_heads",
            "embeddings",
            _patches_and_cls,
        ),
        Family(
            "siglip",
            "SiglipModel",
            "AutoModelForZeroShotImageClassification",
            SigmoidAdapter,
            replace(_CLIP_TOWER, cls=False),
            "vision_config.num_attention_heads",
            "embeddings",
            lambda config: _patches(config.vision_config),
        ),
        Family(
            "vit",
            "ViTForImageClassification",
            "AutoModelForImageClassification",
            ClassifierAdapter,
            _VIT_TOWER,
            "num_attention_heads",
            "embeddings",
            lambda config: _patches(config) + 1,
            processor="AutoImageProcessor",
        ),
        # Behind the CLS token stands one that a teacher was imitated with; it has a classifier of its own, or none.
        Family(
            "deit",
            "DeiTForImageClassification",
            "AutoModelForImageClassification",
            ClassifierAdapter,
            replace(_VIT_TOWER, tower="deit"),
            "num_attention_heads",
            "embeddings",
            lambda config: _patches(config) + 2,
            processor="AutoImageProcessor",
            others=("DeiTForImageClassificationWithTeacher",),
        ),
        # Its positions are stretched over any picture: published ones are for larger pictures than the processor makes.
        Family(
            "dinov2",
            "Dinov2ForImageClassification",
            "AutoModelForImageClassification",
            ClassifierAdapter,
            replace(_VIT_TOWER, tower="dinov2", layers="encoder.layer"),
            "num_attention_heads",
            "embeddings",
            lambda config: _patches(config) + 1,
            processor="AutoImageProcessor",
            cropped=True,
        ),
        Family(
            "dinov2_with_registers",
            "Dinov2WithRegistersForImageClassification",
            "AutoModelForImageClassification",
            ClassifierAdapter,
            replace(_VIT_TOWER, tower="dinov2_with_registers", layers="encoder.layer"),
            "num_attention_heads",
            "embeddings",
            lambda config: _patches(config) + 1 + config.num_register_tokens,
            processor="AutoImageProcessor",
            cropped=True,
        ),
    )
}
