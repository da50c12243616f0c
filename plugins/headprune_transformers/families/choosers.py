"""Families without a text decoder: they choose among labels."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any

from headprune import TowerLayout
from headprune_transformers.adapters.choosing import ClassifierAdapter, SigmoidAdapter, ZeroShotAdapter
from headprune_transformers.family import Family, Tokens
from headprune_transformers.sliced import SLICED
from headprune_transformers.towers import CLIP, VIT, patches, patches_and_cls

_DINO = replace(VIT, layers="encoder.layer", scales=("layer_scale1", "layer_scale2"))


def _only(*classes: str) -> Callable[[Any], str | None]:
    """Checkpoints of other classes have no labels, or no text tower to read any: no weights are fetched to find out."""

    def refused(config: Any) -> str | None:
        others = [name for name in config.architectures or () if name.removeprefix(SLICED) not in classes]
        return f"it is a {others[0]}, and only {' or '.join(classes)} is" if others else None

    return refused


def _classifier(
    model_type: str, model_class: str, tokens: Tokens, layout: TowerLayout = VIT, others: tuple[str, ...] = ()
) -> Family:
    return Family(
        model_type,
        model_class,
        "AutoModelForImageClassification",
        ClassifierAdapter,
        replace(layout, tower=model_type),
        "num_attention_heads",
        "embeddings",
        tokens,
        others=others,
        refused=_only(model_class, *others),
    )


def _cropped(before: Callable[[Any], int]) -> Tokens:
    """T where pictures are as large as the processor makes them, whatever size the configuration names."""

    def tokens(config: Any, image_processor: Callable[[], Any]) -> int:
        settings = image_processor()
        made = settings.crop_size if settings.do_center_crop else settings.size
        seen = copy(config)
        seen.image_size = (made["height"], made["width"])
        return patches(seen) + before(config)

    return tokens


CHOOSERS = (
    Family(
        "clip",
        "CLIPModel",
        "AutoModelForZeroShotImageClassification",
        ZeroShotAdapter,
        CLIP,
        "vision_config.num_attention_heads",
        "embeddings",
        patches_and_cls,
        refused=_only("CLIPModel"),
    ),
    Family(
        "siglip",
        "SiglipModel",
        "AutoModelForZeroShotImageClassification",
        SigmoidAdapter,
        replace(CLIP, cls=False),
        "vision_config.num_attention_heads",
        "embeddings",
        lambda config, _: patches(config.vision_config),
        refused=_only("SiglipModel"),
    ),
    _classifier("vit", "ViTForImageClassification", lambda config, _: patches(config) + 1),
    # Behind the CLS token stands one that a teacher was imitated with; it has a classifier of its own, or none.
    _classifier(
        "deit",
        "DeiTForImageClassification",
        lambda config, _: patches(config) + 2,
        others=("DeiTForImageClassificationWithTeacher",),
    ),
    # Positions are stretched over any picture: published ones are for larger pictures than the processor makes.
    _classifier("dinov2", "Dinov2ForImageClassification", _cropped(lambda config: 1), _DINO),
    _classifier(
        "dinov2_with_registers",
        "Dinov2WithRegistersForImageClassification",
        _cropped(lambda config: 1 + config.num_register_tokens),
        _DINO,
    ),
)
