"""The supported families, each a declaration: which class loads it and where its tower keeps its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headprune import TowerLayout
from headprune_transformers.sliced import Tower


@dataclass(frozen=True, slots=True)
class Family:
    """One model family of transformers.

    Attributes:
        model_type: as its `config.json` says.
        model_class: the class in `transformers` that generates.
        auto_class: the one of its Auto classes that finds it.
        layout: its tower.
        heads_field: from its configuration to the tower's number of heads.
        embeddings: from the tower to the module that turns pixels into Z[0].
        encoder: from the tower to the module that runs the layers; what the tower does behind it is its final norm.
        prompt: asked when the user gives none; None where the family needs none.
    """

    model_type: str
    model_class: str
    auto_class: str
    layout: TowerLayout
    heads_field: str
    embeddings: str
    encoder: str
    prompt: str | None

    @property
    def sliceable(self) -> Tower:
        """The same for the code that stands in a sliced model's folder, which has no headprune."""
        layout = self.layout
        return Tower(
            model_class=self.model_class,
            heads_field=self.heads_field,
            layers=f"{layout.tower}.{layout.layers}",
            attention=layout.attention,
            qkv=layout.qkv,
            output=layout.output,
            heads=layout.heads,
        )


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
        Family(
            "blip-2",
            "Blip2ForConditionalGeneration",
            "AutoModelForImageTextToText",
            _EVA_TOWER,
            "vision_config.num_attention_heads",
            "embeddings",
            "encoder",
            prompt=None,
        ),
        # InstructBLIP's Q-Former reads the instruction too, so there has to be one.
        Family(
            "instructblip",
            "InstructBlipForConditionalGeneration",
            "AutoModelForImageTextToText",
            _EVA_TOWER,
            "vision_config.num_attention_heads",
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
