"""Tiny models that are asked by a prompt with the picture in it: LLaVA, LLaVA-NeXT, PaliGemma, InternVL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from headprune_transformers.families import FAMILIES
from headprune_transformers.processors import _without_videos
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from headprune import Generation
from tests.support import tiny
from tests.support.zoo import Tiny, generated

SPECIALS = ["<pad>", "</s>", "<unk>", "<s>", "<image>", "<img>", "</img>", "<video>"]
ASKED = ["USER:", "ASSISTANT:", "Describe", "the", "image.", "caption", "en", "\n"]
VOCABULARY = [*SPECIALS, *ASKED, *tiny.WORDS]
IMAGE = SPECIALS.index("<image>")
TEMPLATE = (
    "{% for message in messages %}USER: "
    "{% for part in message['content'] if part['type'] == 'image' %}<image> \n {% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }} {% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
TILE = {"height": 32, "width": 32}
CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
    "projection_dim": 32,
}
SIGLIP = {**CLIP, "model_type": "siglip_vision_model", "vision_use_head": False}
TEXT = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 3,
    "tie_word_embeddings": False,
}


def tokenizer(begun: bool = True, **specials: str) -> Any:
    """A word-level tokenizer that, like LLaMA's, begins with <s>.

    Args:
        begun: whether it does.
        specials: attributes of the tokenizer that name special tokens.
    """
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Split("\n", "isolated")]
    )
    if begun:
        words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 3)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        bos_token="<s>",
        padding_side="left",
        extra_special_tokens={"image_token": "<image>", **specials},
    )


def redraw(model: nn.Module, seed: int) -> None:
    """As tiny.redraw; layer scales near one, and connectors loud enough that words follow the picture."""
    tiny.redraw(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lambda_" in name:
                parameter.copy_(1 + 0.3 * torch.randn(parameter.shape, generator=generator))
            elif "multi_modal_projector" in name and parameter.dim() == 2:
                parameter.mul_(3)
        # It says words: what is no word is lost when tokens are put into text.
        model.lm_head.weight[2 : len(SPECIALS) + len(ASKED)] = 0


def saved(model: Any, processor: Any, folder: Path, seed: int) -> None:
    redraw(model, seed)
    model.generation_config.max_length = None
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def llava(vision: dict[str, Any] = CLIP, seed: int = 0, **config: Any) -> Callable[[Path], Any]:
    """LLaVA as its checkpoints are: a CLIP processor, the number of image tokens from the processor's settings."""

    def build(folder: Path) -> None:
        strategy = config.get("vision_feature_select_strategy", "default")
        clip = vision["model_type"] == "clip_vision_model"
        pictures = (
            CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=TILE)
            if clip
            else SiglipImageProcessorPil(size=TILE)
        )
        processor = transformers.LlavaProcessor(
            pictures,
            tokenizer(),
            patch_size=8,
            vision_feature_select_strategy=strategy,
            num_additional_image_tokens=int(clip),
            chat_template=TEMPLATE,
        )
        text = {**TEXT, "model_type": "llama"}
        whole = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE, **config)
        saved(transformers.LlavaForConditionalGeneration(whole), processor, folder, seed)

    return build


def llava_next(folder: Path) -> None:
    grid = [[32, 64], [64, 32], [64, 64]]
    processor = transformers.LlavaNextProcessor(
        LlavaNextImageProcessorPil(size={"shortest_edge": 32}, crop_size=TILE, image_grid_pinpoints=grid),
        tokenizer(),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    config = transformers.LlavaNextConfig(
        vision_config=CLIP,
        text_config={**TEXT, "model_type": "llama"},
        image_token_index=IMAGE,
        image_grid_pinpoints=grid,
    )
    saved(transformers.LlavaNextForConditionalGeneration(config), processor, folder, 0)


def paligemma(text: str = "gemma", **others: Any) -> Callable[[Path], Any]:
    """PaliGemma, or with a Gemma 2 that has a window PaliGemma 2."""

    def build(folder: Path) -> None:
        pictures = SiglipImageProcessorPil(size=TILE)
        pictures.image_seq_length = 16
        # Gemma's tokenizer begins with nothing: the processor writes <s> between picture and prompt.
        processor = transformers.PaliGemmaProcessor(pictures, tokenizer(begun=False))
        config = transformers.PaliGemmaConfig(
            vision_config=SIGLIP,
            text_config={**TEXT, "model_type": text, **others},
            image_token_index=IMAGE,
            projection_dim=32,
            hidden_size=32,
            tie_word_embeddings=False,
        )
        saved(transformers.PaliGemmaForConditionalGeneration(config), processor, folder, 0)

    return build


def internvl(**vision: Any) -> Callable[[Path], Any]:
    def build(folder: Path) -> None:
        pictures = GotOcr2ImageProcessorPil(size=TILE)
        specials = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<image>"}
        processor = _without_videos(transformers.InternVLProcessor)(
            pictures,
            tokenizer(begun=False, video_token="<video>", **specials),
            image_seq_length=4,
            chat_template=TEMPLATE,
        )
        tower = {**CLIP, "model_type": "internvl_vision", "image_size": [32, 32], "patch_size": [8, 8], **vision}
        del tower["projection_dim"]
        processor.videos = {"video_processor_type": "InternVLVideoProcessor"}
        config = transformers.InternVLConfig(
            vision_config=tower,
            text_config={**TEXT, "model_type": "qwen2"},
            image_token_id=IMAGE,
            image_seq_length=4,
            tie_word_embeddings=False,
        )
        saved(transformers.InternVLForConditionalGeneration(config), processor, folder, 0)

    return build


def chatting(adapter: Any, pictures: Sequence[Image.Image], generation: Generation) -> tuple[list[str], Tensor]:
    """As the documentation of LLaVA, LLaVA-NeXT and InternVL has it."""
    asked = generation.prompt if generation.prompt is not None else "Describe the image."
    turns = [
        [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": asked}]}]
        for picture in pictures
    ]
    inputs = adapter.processor.apply_chat_template(
        turns,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )
    return generated(adapter, dict(inputs), generation, skipped=inputs["input_ids"].shape[1])


def prefixed(adapter: Any, pictures: Sequence[Image.Image], generation: Generation) -> tuple[list[str], Tensor]:
    """As the documentation of PaliGemma has it."""
    asked = generation.prompt if generation.prompt is not None else "caption en"
    texts = [f"<image>{asked}" for _ in pictures]
    inputs = adapter.processor(images=list(pictures), text=texts, return_tensors="pt")
    return generated(adapter, dict(inputs), generation, skipped=inputs["input_ids"].shape[1])


# Square and broad pictures, and broad ones of two sizes that are cut alike.
SIZES = ((60, 30), (40, 40), (64, 32))

ZOO = {
    "llava": Tiny("llava", llava(), chatting, 3, 4, 32, True, 17, dead=1, remark="dropped by the connector"),
    # Two depths side by side, CLS kept; nothing is dead.
    "llava-layers": Tiny(
        "llava",
        llava(vision_feature_layer=[-1, -3], vision_feature_select_strategy="full"),
        chatting,
        3,
        4,
        32,
        True,
        17,
        remark="read at 2 depths",
    ),
    "llava-siglip": Tiny(
        "llava",
        llava(SIGLIP, vision_feature_layer=-1, vision_feature_select_strategy="full"),
        chatting,
        3,
        4,
        32,
        False,
        16,
    ),
    "llava-next": Tiny(
        "llava_next",
        llava_next,
        chatting,
        3,
        4,
        32,
        True,
        3 * 17,
        dead=1,
        sizes=SIZES,
        remark="dropped by the connector, tiles",
    ),
    "paligemma": Tiny("paligemma", paligemma(), prefixed, 3, 4, 32, False, 16),
    "paligemma2": Tiny("paligemma", paligemma("gemma2", sliding_window=12), prefixed, 3, 4, 32, False, 16),
    "internvl": Tiny(
        "internvl", internvl(), chatting, 3, 4, 32, True, 3 * 17, sizes=SIZES, remark="dropped by the connector, tiles"
    ),
    "internvl-qk-norm": Tiny(
        "internvl",
        internvl(use_qk_norm=True, norm_type="rms_norm"),
        chatting,
        3,
        4,
        32,
        True,
        3 * 17,
        sizes=SIZES,
        slices="qk_norm",
        remark="dropped by the connector, tiles",
    ),
}
assert {known.family for known in ZOO.values()} <= {*FAMILIES}
