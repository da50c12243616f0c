"""A tower of ViT-g's real geometry, cut to a few layers, before a tiny Q-Former and a tiny T5, all weights random.

Weights are drawn as the tests draw them (`tests.support.tiny`): as transformers initialises them (vision weights of
1e-10, queries of zero) every head would be dead and every caption the same.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from headprune_transformers.adapters.querying import QueryingAdapter
from headprune_transformers.families import FAMILIES
from PIL.Image import Image
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from headprune import Adapter, ModelRef
from headprune.demo.dataset import held_out
from tests.support import tiny

REAL_LAYERS = 39
WIDTH, SIDE = 1408, 224
VISION = {
    "hidden_size": WIDTH,
    "intermediate_size": 6144,
    "num_attention_heads": 16,
    "image_size": SIDE,
    "patch_size": 14,
    "qkv_bias": True,
}

_TALKATIVE = 25
"""A seed with which the words follow the picture; with most, every variant says the same and nothing is checked."""


def build(layers: int, device: torch.device) -> Adapter:
    """BLIP-2 with such a tower of `layers` layers, in float32."""
    config = transformers.Blip2Config(
        vision_config=VISION | {"num_hidden_layers": layers},
        qformer_config=tiny.QFORMER | {"encoder_hidden_size": WIDTH},
        text_config=tiny.T5,
        num_query_tokens=tiny.QUERIES,
        image_token_index=tiny.IMAGE_TOKEN,
    )
    model: Any = transformers.Blip2ForConditionalGeneration(config)
    tiny.redraw(model, seed=0)
    for speaking in (model.qformer, model.language_model):
        tiny.redraw(speaking, _TALKATIVE)
    processor: Any = transformers.Blip2Processor(
        BlipImageProcessorPil(size={"height": SIDE, "width": SIDE}), tiny.tokenizer(), num_query_tokens=tiny.QUERIES
    )
    name = f"ViT-g, {layers} of {REAL_LAYERS} layers, random"
    return QueryingAdapter(model.eval().to(device), processor, FAMILIES["blip-2"], ModelRef("transformers", name))


def pictures(count: int) -> tuple[Image, ...]:
    """Scenes of the demo, drawn at the size that this tower sees."""
    return tuple(entry.picture(SIDE) for entry in held_out(count))
