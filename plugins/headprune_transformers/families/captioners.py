"""Families that were made to say what is in a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headprune import TowerLayout
from headprune_transformers.adapters import flattened
from headprune_transformers.adapters.crossing import BlipAdapter
from headprune_transformers.adapters.flattened import FlattenedAdapter
from headprune_transformers.adapters.git import GitAdapter
from headprune_transformers.adapters.paired import PairedAdapter
from headprune_transformers.adapters.querying import QueryingAdapter
from headprune_transformers.family import Family
from headprune_transformers.towers import CLIP, EVA, VIT, patches, patches_and_cls

_PIX2STRUCT = TowerLayout(
    tower="encoder",
    layers="encoder.layer",
    attention="attention",
    qkv=("query", "key", "value"),
    output="output",
    heads="n_heads",
    mlp="mlp",
    cls=False,
    answers=2,
)
# Encoders that a VisionEncoderDecoder may have, with the number of tokens that stand before a picture's patches.
_ENCODERS = {"vit": 1, "deit": 2}


def _head_of_t5(config: Any) -> int:
    """A language model's own head: T5's configuration says that it is tied to the embeddings, whatever was written.

    Loading finds it in the checkpoint and keeps it; until then a scale that belongs to tied ones is all that tells.
    """
    text = config.text_config
    apart = text.model_type == "t5" and not text.scale_decoder_outputs
    return int(text.vocab_size * text.d_model) if apart else 0


def _vit_tokens(config: Any, _: Any) -> int:
    return patches(config.encoder) + _ENCODERS[config.encoder.model_type]


def _no_captioner(config: Any) -> str | None:
    others = [name for name in config.architectures or () if name.startswith("Blip") and "Conditional" not in name]
    return f"of BLIP, only the captioner is; this is a {others[0]}" if others else None


def _other_encoder(config: Any) -> str | None:
    kind = config.encoder.model_type
    return None if kind in _ENCODERS else f"its encoder is a {kind}, and only {' and '.join(_ENCODERS)} are"


def _for_videos(config: Any) -> str | None:
    return "it is made for videos" if config.num_image_with_embedding is not None else None


def _for_questions(config: Any) -> str | None:
    return flattened.RENDERS if config.is_vqa else None


CAPTIONERS = (
    Family(
        "blip-2",
        "Blip2ForConditionalGeneration",
        "AutoModelForImageTextToText",
        QueryingAdapter,
        EVA,
        "vision_config.num_attention_heads",
        "embeddings",
        patches_and_cls,
        untold=_head_of_t5,
    ),
    # InstructBLIP's Q-Former reads the instruction too, so there has to be one.
    Family(
        "instructblip",
        "InstructBlipForConditionalGeneration",
        "AutoModelForImageTextToText",
        QueryingAdapter,
        EVA,
        "vision_config.num_attention_heads",
        "embeddings",
        patches_and_cls,
        prompt="A short image description.",
        untold=_head_of_t5,
    ),
    Family(
        "blip",
        "BlipForConditionalGeneration",
        "AutoModelForImageTextToText",
        BlipAdapter,
        EVA,
        "vision_config.num_attention_heads",
        "embeddings",
        patches_and_cls,
        refused=_no_captioner,
    ),
    Family(
        "vision-encoder-decoder",
        "VisionEncoderDecoderModel",
        "AutoModelForImageTextToText",
        PairedAdapter,
        replace(VIT, tower="encoder"),
        "encoder.num_attention_heads",
        "embeddings",
        _vit_tokens,
        refused=_other_encoder,
        unread=("encoder.pooler.",),
    ),
    Family(
        "git",
        "GitForCausalLM",
        "AutoModelForImageTextToText",
        GitAdapter,
        replace(CLIP, tower="git.image_encoder.vision_model"),
        "vision_config.num_attention_heads",
        "embeddings",
        patches_and_cls,
        refused=_for_videos,
    ),
    Family(
        "pix2struct",
        "Pix2StructForConditionalGeneration",
        "AutoModelForImageTextToText",
        FlattenedAdapter,
        _PIX2STRUCT,
        "vision_config.num_attention_heads",
        "embeddings",
        lambda config, image_processor: flattened.tokens(image_processor()),
        refused=_for_questions,
    ),
)
