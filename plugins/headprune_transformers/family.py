"""What has to be said of a model family of transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from headprune import TowerLayout
from headprune_transformers.sliced import SLICED, Tower

if TYPE_CHECKING:
    from headprune_transformers.adapter import TransformersAdapter


@dataclass(frozen=True, slots=True)
class Family:
    """One model family of transformers.

    Attributes:
        model_type: as its `config.json` says.
        model_class: the class in `transformers` that speaks.
        auto_class: the one of its Auto classes that finds it.
        adapter: how pictures go in and words come out.
        layout: its tower.
        heads_field: from its configuration to the tower's number of heads.
        embeddings: from the tower to the module that turns pixels into Z[0], or into what becomes it.
        tokens: T, tokens of one picture, by the model's configuration.
        prompt: asked when the user gives none; None where the family needs none.
        reads: depths of Z that the connector reads, by the configuration, where that is not always the last.
        untold: parameters that a checkpoint of this configuration has beside those that the configuration makes.
        unsliceable: why heads of a model with this configuration cannot be taken out; None where they can.
        processor: the one of `transformers`' Auto classes that finds its processor.
        others: further classes with the same tower, of which a configuration may name one.
        cropped: whether pictures are as large as its processor makes them, whatever size the configuration names.
    """

    model_type: str
    model_class: str
    auto_class: str
    adapter: type[TransformersAdapter]
    layout: TowerLayout
    heads_field: str
    embeddings: str
    tokens: Callable[[Any], int]
    prompt: str | None = None
    reads: Callable[[Any], tuple[int, ...]] = lambda config: (-1,)
    untold: Callable[[Any], int] = lambda config: 0
    unsliceable: Callable[[Any], str | None] = lambda config: None
    processor: str = "AutoProcessor"
    others: tuple[str, ...] = ()
    cropped: bool = False

    def layout_of(self, config: Any) -> TowerLayout:
        """The tower of a model with this configuration."""
        return replace(self.layout, reads=self.reads(config))

    def tokens_with(self, config: Any, image_processor: Any) -> int:
        """T, tokens of one picture that this processor made."""
        if not self.cropped:
            return self.tokens(config)
        made = image_processor.crop_size if image_processor.do_center_crop else image_processor.size
        seen = copy(config)
        seen.image_size = (made["height"], made["width"])
        return self.tokens(seen)

    def class_among(self, names: Iterable[str]) -> str:
        """Which class in `transformers` loads a model whose configuration names these (`architectures`)."""
        whole = [name.removeprefix(SLICED) for name in names]
        return next((name for name in whole if name in self.others), self.model_class)

    def sliceable(self, model_class: str) -> Tower:
        """The tower for the code that stands in the folder of a sliced `model_class`, which has no headprune."""
        layout = self.layout
        return Tower(
            model_class=model_class,
            heads_field=self.heads_field,
            layers=f"{layout.tower}.{layout.layers}",
            attention=layout.attention,
            qkv=layout.qkv,
            output=layout.output,
            heads=layout.heads,
        )
