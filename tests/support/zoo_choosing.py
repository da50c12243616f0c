"""Tiny models without a text decoder: CLIP, SigLIP and image classifiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from torch import Tensor, nn

from headprune import Generation
from tests.support import tiny
from tests.support.zoo import Tiny

LABELS = tuple(f"word{index} word{9 + 3 * index} word5" for index in range(12))
CLASSES = [*(f"word{index} word{9 + 2 * index}" for index in range(11)), "word3 word15"]
"""The last is spelt like another, as in ImageNet."""
VISION = {**tiny.VISION, "projection_dim": 24}
TEXT = {
    "vocab_size": len(tiny.VOCABULARY),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
    "bos_token_id": 3,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
CLASSIFIER = {**tiny.VISION, "num_labels": len(CLASSES), "id2label": dict(enumerate(CLASSES))}
SIZE = {"height": 32, "width": 32}


def _tokenizer(tokens: int) -> Any:
    made = tiny.tokenizer()
    made.model_input_names = ["input_ids", "attention_mask"]
    made.model_max_length = tokens
    return made


def _saved(folder: Path, model: nn.Module, processor: Any, seed: int = 0) -> None:
    tiny.redraw(model, seed)
    _louder(model)
    model.save_pretrained(folder)  # type: ignore[operator]
    processor.save_pretrained(folder)


def _louder(model: Any) -> None:
    """Loud enough, and no class so near to everything that it always wins: pictures of noise are much alike."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name == "logit_scale":
                parameter.fill_(3.0)
            elif "classifier" in name or "visual_projection" in name:
                parameter.mul_(3 if parameter.dim() > 1 else 0)
            elif "patch_embedding" in name:
                parameter.mul_(2)
        if model.main_input_name == "pixel_values":
            noise = torch.rand(32, 3, 32, 32, generator=torch.Generator().manual_seed(5)) * 2 - 1
            usual = model(noise).logits.mean(dim=0)
            for name, module in model.named_modules():
                if name.endswith("classifier"):
                    module.bias.sub_(usual)


def clip(folder: Path) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    config = transformers.CLIPConfig(
        text_config={**TEXT, "projection_dim": 24}, vision_config=VISION, projection_dim=24
    )
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SIZE)
    _saved(folder, transformers.CLIPModel(config), transformers.CLIPProcessor(pictures, _tokenizer(16)), seed=4)


def siglip(folder: Path) -> None:
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    # As many tokens as transformers' own pipeline pads SigLIP's texts to.
    text = {**TEXT, "projection_size": 32, "max_position_embeddings": 64}
    config = transformers.SiglipConfig(text_config=text, vision_config={**VISION, "vision_use_head": True})
    pictures = SiglipImageProcessorPil(size=SIZE)
    _saved(folder, transformers.SiglipModel(config), transformers.SiglipProcessor(pictures, _tokenizer(64)), seed=1)


def classifier(model_class: str, config_class: str, **more: Any) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

        config = getattr(transformers, config_class)(**{**CLASSIFIER, **more})
        _saved(folder, getattr(transformers, model_class)(config), ViTImageProcessorPil(size=SIZE))

    return build


def zero_shot(**options: Any) -> Callable[..., tuple[list[str], Tensor]]:
    """`logits_per_image`, as the documentation asks for them."""

    def vanilla(adapter: Any, pictures: Sequence[Image.Image], generation: Generation) -> tuple[list[str], Tensor]:
        texts = [(generation.prompt or "{}").format(label) for label in generation.labels]
        inputs = adapter.processor(text=texts, images=list(pictures), return_tensors="pt", **options)
        with torch.no_grad():
            logits = adapter.model(**inputs).logits_per_image
        return [generation.labels[best] for best in logits.argmax(dim=1)], logits[None]

    return vanilla


def classified(adapter: Any, pictures: Sequence[Image.Image], generation: Generation) -> tuple[list[str], Tensor]:
    inputs = adapter.processor(list(pictures), return_tensors="pt")
    with torch.no_grad():
        logits = adapter.model(**inputs).logits
    return [adapter.model.config.id2label[best] for best in logits.argmax(-1).tolist()], logits[None]


def _classifier(family: str, build: Callable[[Path], None], tokens: int, remark: str = "") -> Tiny:
    return Tiny(family, build, classified, 3, 4, 32, True, tokens, remark=remark)


DEIT = "DeiTForImageClassification"
ZOO = {
    "clip": Tiny("clip", clip, zero_shot(padding=True), 3, 4, 32, True, 17, labels=LABELS),
    "siglip": Tiny("siglip", siglip, zero_shot(padding="max_length"), 3, 4, 32, False, 16, labels=LABELS),
    "vit": _classifier("vit", classifier("ViTForImageClassification", "ViTConfig"), 17),
    "deit": _classifier("deit", classifier(DEIT, "DeiTConfig"), 18, "distillation token"),
    "deit-teacher": replace(
        _classifier("deit", classifier(f"{DEIT}WithTeacher", "DeiTConfig"), 18, "distillation token"),
        model_class=f"{DEIT}WithTeacher",
    ),
    "dinov2": _classifier("dinov2", classifier("Dinov2ForImageClassification", "Dinov2Config", image_size=48), 17),
    "dinov2-registers": _classifier(
        "dinov2_with_registers",
        classifier("Dinov2WithRegistersForImageClassification", "Dinov2WithRegistersConfig", num_register_tokens=3),
        20,
        "registers",
    ),
}
