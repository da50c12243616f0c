"""Tiny models whose decoder reads the tower by cross-attention, or after it in one stream: BLIP, VisionEncoderDecoder,
GIT, Pix2Struct; each asked by the lines of its documentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from tokenizers import processors
from torch import Tensor, nn

from headprune import Generation
from tests.support import tiny
from tests.support.zoo import Tiny, generated

VISION = {key: value for key, value in tiny.VISION.items() if key != "qkv_bias"}
MOST_PATCHES = 12


def finish(model: Any, folder: Path, louder: dict[str, float], seed: int = 0) -> None:
    """Draw the weights; make what reads the tower loud enough that words follow the picture; save.

    Args:
        louder: part of the names of matrices -> what they are multiplied by.
    """
    tiny.redraw(model, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".ln_" in name and name.endswith("weight"):
                parameter.mul_(0.5).add_(1)  # GPT-2's norms, which are not called so
            for part, times in louder.items():
                if part in name and parameter.dim() == 2:
                    parameter.mul_(times)
    model.generation_config.max_length = None
    model.save_pretrained(folder)


def bert_tokenizer() -> Any:
    """As BERT's, which BLIP and GIT have: what begins a text, the text, what ends it."""
    made = tiny.tokenizer()
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 3), ("</s>", 1)]
    )
    assert made("word0")["input_ids"][0] == 3
    return made


def blip_config(**vision: Any) -> transformers.BlipConfig:
    text = {
        "vocab_size": len(tiny.VOCABULARY),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "eos_token_id": 2,
        "sep_token_id": 1,
        "bos_token_id": 3,
    }
    return transformers.BlipConfig(text_config=text, vision_config={**VISION, **vision})


def build_blip(folder: Path, **vision: Any) -> None:
    finish(
        transformers.BlipForConditionalGeneration(blip_config(**vision)),
        folder,
        {"crossattention": 3, "predictions.transform": 3},
    )
    transformers.BlipProcessor(tiny.image_processor(), bert_tokenizer()).save_pretrained(folder)


def blip(adapter: Any, pictures: Sequence[Image.Image], generation: Generation) -> tuple[list[str], Tensor]:
    text = {} if generation.prompt is None else {"text": [generation.prompt] * len(pictures)}
    inputs = adapter.processor(images=list(pictures), **text, return_tensors="pt")
    # The start token and the prompt; its last token is the end of the text, which is not said again.
    skipped = inputs["input_ids"].shape[1] - 1 if text else 1
    return generated(adapter, inputs, generation, skipped)


GPT2 = {
    "model_type": "gpt2",
    "vocab_size": len(tiny.VOCABULARY),
    "n_positions": 64,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 2,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "is_decoder": True,
    "add_cross_attention": True,
}
TROCR = {
    "model_type": "trocr",
    "vocab_size": len(tiny.VOCABULARY),
    "d_model": 24,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 3,
    "is_decoder": True,
    "add_cross_attention": True,
}


def encoder_decoder(encoder: dict[str, Any], decoder: dict[str, Any], **others: Any) -> Any:
    """A VisionEncoderDecoder, configured like the checkpoints on the hub."""
    tokens = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": decoder["bos_token_id"], **others}
    config = transformers.VisionEncoderDecoderConfig(encoder={**VISION, **encoder}, decoder=decoder, **tokens)
    return transformers.VisionEncoderDecoderModel(config)


def save_pair(folder: Path) -> None:
    """As the hub's checkpoints do: an image processor and a tokenizer, and nothing that names a processor."""
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)


def build_vit_gpt2(folder: Path) -> None:
    model = encoder_decoder({"model_type": "vit"}, GPT2)
    finish(model, folder, {"crossattention": 3}, seed=1)
    save_pair(folder)


def build_deit_trocr(folder: Path) -> None:
    model = encoder_decoder({"model_type": "deit", "qkv_bias": False}, TROCR)
    assert isinstance(model.enc_to_dec_proj, nn.Linear)
    # Any sharper, and its losses are too curved for finite differences.
    cross = {f"encoder_attn.{name}_proj": times for name, times in zip("qkv", (2, 2, 5), strict=True)}
    finish(model, folder, {**cross, "enc_to_dec_proj": 3, "fc2": 0.5}, seed=1)
    save_pair(folder)


def paired(adapter: Any, pictures: Sequence[Image.Image], generation: Generation) -> tuple[list[str], Tensor]:
    inputs = {
        "pixel_values": adapter.processor.image_processor(images=list(pictures), return_tensors="pt").pixel_values
    }
    if generation.prompt is None:
        return generated(adapter, inputs, generation)
    ids = adapter.processor.tokenizer(generation.prompt, add_special_tokens=False).input_ids
    inputs["decoder_input_ids"] = torch.tensor([ids] * len(pictures))
    # The start token comes before the prompt.
    return generated(adapter, inputs, generation, 1 + len(ids))


def build_git(folder: Path) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    config = transformers.GitConfig(
        vision_config=VISION,
        vocab_size=len(tiny.VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=3,
        eos_token_id=1,
    )
    finish(transformers.GitForCausalLM(config), folder, {"visual_projection": 3})
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    transformers.GitProcessor(pictures, bert_tokenizer()).save_pretrained(folder)


def git(adapter: Any, pictures: Sequence[Image.Image], generation: Generation) -> tuple[list[str], Tensor]:
    processor = adapter.processor
    inputs = {"pixel_values": processor(images=list(pictures), return_tensors="pt").pixel_values}
    if generation.prompt is None:
        return generated(adapter, inputs, generation, 1)
    ids = [adapter.config.bos_token_id, *processor(text=generation.prompt, add_special_tokens=False).input_ids]
    return generated(adapter, {**inputs, "input_ids": torch.tensor([ids] * len(pictures))}, generation, len(ids))


def pix2struct_config(**others: Any) -> transformers.Pix2StructConfig:
    text = {
        "vocab_size": len(tiny.VOCABULARY),
        "hidden_size": 32,
        "d_kv": 16,
        "d_ff": 48,
        "num_layers": 2,
        "num_heads": 2,
        "use_cache": True,
    }
    vision = {
        "hidden_size": 32,
        "patch_embed_hidden_size": 8 * 8 * 3,
        "d_ff": 48,
        "d_kv": 8,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "seq_len": 16,
    }
    return transformers.Pix2StructConfig(text_config=text, vision_config=vision, **others)


def save_flattening(folder: Path, **others: Any) -> None:
    from transformers.models.pix2struct.image_processing_pil_pix2struct import Pix2StructImageProcessorPil

    settings = {"max_patches": MOST_PATCHES, "patch_size": {"height": 8, "width": 8}, **others}
    cutter = Pix2StructImageProcessorPil(**settings)
    transformers.Pix2StructProcessor(cutter, tiny.tokenizer()).save_pretrained(folder)


def build_pix2struct(folder: Path) -> None:
    model = transformers.Pix2StructForConditionalGeneration(pix2struct_config())
    # Its attention does not divide by the root of the head width, its query weights are to be so much smaller.
    finish(model, folder, {"query": 0.3, "encoder_decoder_attention": 2})
    save_flattening(folder)


def pix2struct(adapter: Any, pictures: Sequence[Image.Image], generation: Generation) -> tuple[list[str], Tensor]:
    text = {} if generation.prompt is None else {"text": [generation.prompt] * len(pictures)}
    inputs = adapter.processor(
        images=list(pictures), **text, return_tensors="pt", add_special_tokens=False, max_patches=MOST_PATCHES
    )
    # The start token comes before the prompt.
    skipped = 1 + (inputs["decoder_input_ids"].shape[1] if text else 0)
    return generated(adapter, inputs, generation, skipped)


def _tiny(family: str, build: Callable[[Path], None], vanilla: Any, cls: bool, tokens: int, **others: Any) -> Tiny:
    return Tiny(family, build, vanilla, 3, 4, 32, cls, tokens, **others)


ZOO = {
    "blip": _tiny("blip", build_blip, blip, True, 17),
    "vit-gpt2": _tiny("vision-encoder-decoder", build_vit_gpt2, paired, True, 17),
    "deit-trocr": _tiny(
        "vision-encoder-decoder", build_deit_trocr, paired, True, 18, remark="and a distillation token"
    ),
    "git": _tiny("git", build_git, git, True, 17, sizes=((40, 40), (64, 40))),
    "pix2struct": _tiny(
        "pix2struct",
        build_pix2struct,
        pix2struct,
        False,
        8,
        sizes=((48, 24), (24, 40), (40, 40)),
        remark="grid by picture",
    ),
}
