"""The supported families, each a declaration: which class loads it and where its tower keeps its parts."""

from __future__ import annotations

from typing import Any

from headprune import TowerLayout
from headprune_transformers import flattened
from headprune_transformers.crossing import BlipAdapter
from headprune_transformers.chat_families import CHAT_FAMILIES
from headprune_transformers.family import Family
from headprune_transformers.flattened import FlattenedAdapter
from headprune_transformers.git import GitAdapter
from headprune_transformers.paired import Pair, PairedAdapter
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

_VIT_TOWER = TowerLayout(
    tower="encoder",
    layers="layers",
    attention="attention",
    qkv=("q_proj", "k_proj", "v_proj"),
    output="o_proj",
    heads="num_attention_heads",
    cls=True,
)
_GIT_TOWER = TowerLayout(
    tower="git.image_encoder.vision_model",
    layers="encoder.layers",
    attention="self_attn",
    qkv=("q_proj", "k_proj", "v_proj"),
    output="out_proj",
    heads="num_heads",
    cls=True,
)
_PIX2STRUCT_TOWER = TowerLayout(
    tower="encoder",
    layers="encoder.layer",
    attention="attention",
    qkv=("query", "key", "value"),
    output="output",
    heads="n_heads",
    cls=False,
    answers=2,
)
# Encoders of the tower above, with the number of tokens that stand before a picture's patches.
_VITS = {"vit": 1, "deit": 2}
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


def _vit_tokens(config: Any) -> int:
    return _patches(config.encoder) + _VITS[config.encoder.model_type]


def _no_captioner(config: Any) -> str | None:
    others = [name for name in config.architectures or () if name.startswith("Blip") and "Conditional" not in name]
    return f"of BLIP, only the captioner is; this is a {others[0]}" if others else None


def _other_encoder(config: Any) -> str | None:
    kind = config.encoder.model_type
    return None if kind in _VITS else f"its encoder is a {kind}, and only {' and '.join(_VITS)} are"


def _for_videos(config: Any) -> str | None:
    return "it is made for videos" if config.num_image_with_embedding is not None else None


def _for_questions(config: Any) -> str | None:
    return flattened.RENDERS if config.is_vqa else None


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
        Family(
            "blip",
            "BlipForConditionalGeneration",
            "AutoModelForImageTextToText",
            BlipAdapter,
            _EVA_TOWER,
            "vision_config.num_attention_heads",
            "embeddings",
            _patches_and_cls,
            refused=_no_captioner,
        ),
        Family(
            "vision-encoder-decoder",
            "VisionEncoderDecoderModel",
            "AutoModelForImageTextToText",
            PairedAdapter,
            _VIT_TOWER,
            "encoder.num_attention_heads",
            "embeddings",
            _vit_tokens,
            refused=_other_encoder,
            processor=Pair,
            unread=("encoder.pooler.",),
        ),
        Family(
            "git",
            "GitForCausalLM",
            "AutoModelForImageTextToText",
            GitAdapter,
            _GIT_TOWER,
            "vision_config.num_attention_heads",
            "embeddings",
            _patches_and_cls,
            refused=_for_videos,
        ),
        Family(
            "pix2struct",
            "Pix2StructForConditionalGeneration",
            "AutoModelForImageTextToText",
            FlattenedAdapter,
            _PIX2STRUCT_TOWER,
            "vision_config.num_attention_heads",
            "embeddings",
            flattened.tokens,
            refused=_for_questions,
            cut=True,
        ),
        *CHAT_FAMILIES,
        _qwen("qwen2_vl", "Qwen2VLForConditionalGeneration"),
        _qwen("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"),
        _qwen("qwen3_vl", "Qwen3VLForConditionalGeneration", reads=deepstack),
    )
}
