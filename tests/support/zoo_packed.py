"""Tiny Qwen2-VL, Qwen2.5-VL and Qwen3-VL models, and how they are asked by their documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from headprune import Generation
from tests.support.tiny import HEADS, LAYERS, WIDTH, WORDS, redraw
from tests.support.zoo import Tiny, generated

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
VOCABULARY = [*SPECIAL, "<unk>", "system", "user", "assistant", *WORDS]
TOKENS = {
    "vision_start_token_id": 3,
    "vision_end_token_id": 4,
    "image_token_id": 5,
    "video_token_id": 6,
}
PATCH = 8
# 48 x 48 pixels are 6 x 6 patches, 80 x 48 are 6 x 10.
SIZES = ((48, 48), (80, 48))

# Qwen2-VL's own, without what it says of videos.
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% for content in message['content'] %}{% if content['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

TEXT = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
VISION = {"depth": LAYERS, "num_heads": HEADS, "patch_size": PATCH}
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}


def configuration(family: str) -> Any:
    """Of a tiny model: in Qwen2.5-VL windows of 2 x 2 merged patches in all layers but the second, in Qwen3-VL a
    deepstack that reads the first two layers."""
    if family == "qwen2_vl":
        vision = {**VISION, "embed_dim": WIDTH, "hidden_size": 32, "mlp_ratio": 2}
        return transformers.Qwen2VLConfig(text_config={**TEXT, "rope_parameters": ROPE}, vision_config=vision, **TOKENS)
    vision = {**VISION, "hidden_size": WIDTH, "intermediate_size": 64, "out_hidden_size": 32}
    if family == "qwen2_5_vl":
        vision |= {"window_size": 4 * PATCH, "fullatt_block_indexes": [1]}
        text = {**TEXT, "rope_parameters": ROPE}
        return transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **TOKENS)
    vision |= {"num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]}
    # What the deepstack adds behind a layer only the next ones read.
    text = {**TEXT, "num_hidden_layers": 3, "head_dim": 16, "rope_parameters": {**ROPE, "mrope_interleaved": True}}
    return transformers.Qwen3VLConfig(text_config=text, vision_config=vision, **TOKENS)


def tokenizer() -> Any:
    """A word-level tokenizer with Qwen's special tokens, which adds nothing to what it encodes."""
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[2],
        unk_token="<unk>",
        model_max_length=512,
    )
    fast.add_special_tokens({"additional_special_tokens": SPECIAL})
    return fast


def build(family: str, folder: Path, seed: int = 0) -> Path:
    """Write a tiny model of `family` into `folder`, with the files that stand beside a checkpoint on the hub."""
    config = configuration(family)
    kind = {
        "qwen2_vl": transformers.Qwen2VLForConditionalGeneration,
        "qwen2_5_vl": transformers.Qwen2_5_VLForConditionalGeneration,
        "qwen3_vl": transformers.Qwen3VLForConditionalGeneration,
    }[family]
    model: Any = kind(config)
    redraw(model, seed)
    model.generation_config = transformers.GenerationConfig(bos_token_id=0, eos_token_id=[2, 0], pad_token_id=0)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    limits = {"shortest_edge": (2 * PATCH) ** 2, "longest_edge": (16 * PATCH) ** 2}
    Qwen2VLImageProcessorPil(size=limits, patch_size=PATCH, merge_size=2).save_pretrained(folder)
    return folder


def asked(adapter: Any, pictures: Sequence[Image.Image], generation: Generation) -> dict[str, Any]:
    """Model inputs as the documentation makes them."""
    prompt = "Describe the image." if generation.prompt is None else generation.prompt
    conversations = [
        [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": prompt}]}]
        for picture in pictures
    ]
    return dict(
        adapter.processor.apply_chat_template(
            conversations,
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left"},
        )
    )


def chatting(adapter: Any, pictures: Sequence[Image.Image], generation: Generation) -> tuple[list[str], Tensor]:
    """All of them, pictures of different sizes in one batch."""
    inputs = asked(adapter, pictures, generation)
    return generated(adapter, inputs, generation, inputs["input_ids"].shape[1])


def _tiny(family: str, remark: str) -> Tiny:
    def make(folder: Path) -> Path:
        return build(family, folder)

    return Tiny(family, make, chatting, LAYERS, HEADS, WIDTH, False, 36, sizes=SIZES, remark=remark)


ZOO: dict[str, Tiny] = {
    family: _tiny(family, remark)
    for family, remark in (
        ("qwen2_vl", "packed patches"),
        ("qwen2_5_vl", "packed patches, windows"),
        ("qwen3_vl", "packed patches, read at 3 depths"),
    )
}
