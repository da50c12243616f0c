"""The supported families, each a declaration: which class loads it and where its tower keeps its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headprune import TowerLayout


@dataclass(frozen=True, slots=True)
class Family:
    """One model family of transformers.

    Attributes:
        model_type: as its `config.json` says.
        model_class: the class in `transformers` that generates.
        layout: its tower.
        embeddings: from the tower to the module that turns pixels into Z[0].
        encoder: from the tower to the module that runs the layers; what the tower does behind it is its final norm.
        prompt: asked when the user gives none; None where the family needs none.
    """

    model_type: str
    model_class: str
    layout: TowerLayout
    embeddings: str
    encoder: str
    prompt: str | None


_EVA_TOWER = TowerLayout(
    tower="vision_model",
    layers="encoder.layers",
    attention="self_attn",
    qkv=("qkv",),
    output="projection",
    heads="num_heads",
    cls=True,
)

FAMILIES = {
    family.model_type: family
    for family in (
        Family("blip-2", "Blip2ForConditionalGeneration", _EVA_TOWER, "embeddings", "encoder", prompt=None),
        # InstructBLIP's Q-Former reads the instruction too, so there has to be one.
        Family(
            "instructblip",
            "InstructBlipForConditionalGeneration",
            _EVA_TOWER,
            "embeddings",
            "encoder",
            prompt="A short image description.",
        ),
    )
}


def token_count(config: Any, family: Family) -> int:
    """T, tokens of one picture: patches of the configured size, and CLS where there is one."""
    vision = config.vision_config
    return int((vision.image_size // vision.patch_size) ** 2) + int(family.layout.cls)
