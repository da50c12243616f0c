"""Tiny random models of each supported family, saved as folders that load like a checkpoint from a hub.

The initial weights of these families are degenerate (a vision initialiser of 1e-10, query tokens of zero): every
weight is drawn again, wide enough that captions differ from picture to picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

WORDS = [f"word{index}" for index in range(40)]
VOCABULARY = ["<pad>", "</s>", "<unk>", "<s>", "<image>", *WORDS]
IMAGE_TOKEN = VOCABULARY.index("<image>")
LAYERS, HEADS, WIDTH, QUERIES = 3, 4, 32, 3

VISION = {
    "hidden_size": WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "image_size": 32,
    "patch_size": 8,
    "qkv_bias": True,
}
QFORMER = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "cross_attention_frequency": 1,
    "max_position_embeddings": 64,
}
T5 = {
    "model_type": "t5",
    "vocab_size": len(VOCABULARY),
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 48,
    # generate fails on a T5 whose encoder and decoder differ in depth.
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 2,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 1,
    "decoder_start_token_id": 0,
    "tie_word_embeddings": False,
}
OPT = {
    "model_type": "opt",
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "word_embed_proj_dim": 32,
    "ffn_dim": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 3,
}


def tokenizer() -> Any:
    """A word-level tokenizer that ends what it encodes with </s>."""
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        bos_token="<s>",
        model_max_length=64,
    )
    fast.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return fast


def image_processor() -> Any:
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    return BlipImageProcessorPil(size={"height": 32, "width": 32})


def redraw(model: nn.Module, seed: int) -> None:
    """Draw every weight again: matrices wide enough to matter, norms near one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            norm = "norm" in name.lower() and parameter.dim() == 1
            if norm and name.endswith("weight"):
                parameter.copy_(1 + 0.1 * drawn)
            elif "language_projection" in name:
                # Loud enough that the words follow the picture.
                parameter.copy_(drawn)
            elif parameter.dim() >= 2:
                parameter.copy_(drawn * (1.4 / parameter[0].numel() ** 0.5))
            else:
                parameter.copy_(0.2 * drawn)


def build(family: str, folder: Path, seed: int = 0, **vision: Any) -> Path:
    """Write a tiny model of `family` (blip2-t5, blip2-opt, instructblip) and its processor into `folder`.

    Args:
        vision: what of the tower's configuration is to be other than in VISION.
    """
    tower = {**VISION, **vision}
    common = {
        "vision_config": tower,
        "qformer_config": {**QFORMER, "encoder_hidden_size": tower["hidden_size"]},
        "text_config": OPT if family.endswith("opt") else T5,
        "num_query_tokens": QUERIES,
        "image_token_index": IMAGE_TOKEN,
    }
    if family.startswith("blip2"):
        config = transformers.Blip2Config(**common)
        model: Any = transformers.Blip2ForConditionalGeneration(config)
        processor: Any = transformers.Blip2Processor(image_processor(), tokenizer(), num_query_tokens=QUERIES)
    else:
        config = transformers.InstructBlipConfig(**common)
        model = transformers.InstructBlipForConditionalGeneration(config)
        processor = transformers.InstructBlipProcessor(
            image_processor(), tokenizer(), tokenizer(), num_query_tokens=QUERIES
        )
    if model.language_model.config.model_type == "t5":
        # As Flan-T5's: its configuration ties the head to the embeddings, its checkpoint has one of its own.
        head = model.language_model.lm_head
        head.weight = nn.Parameter(torch.empty_like(head.weight))
    redraw(model, seed)
    model.generation_config.max_length = None
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
