"""What has to be said of a model family of transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from headprune import TowerLayout
from headprune_transformers.sliced import SLICED, Tower

if TYPE_CHECKING:
    from headprune_transformers.adapters.adapter import TransformersAdapter

Tokens = Callable[[Any, Callable[[], Any]], int]
"""(configuration, what reads the image processor) -> T, tokens of one picture, of 640 x 480 where that matters. The
processor is read only where it decides."""


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
        tokens: T, tokens of one picture.
        prompt: asked when the user gives none; None where the family needs none.
        reads: depths of Z that the connector reads, by the configuration, where that is not always the last.
        untold: parameters that a checkpoint of this configuration has beside those that the configuration makes.
        others: further classes with the same tower, of which a configuration may name one.
        refused: why a model with this configuration is not supported; None where it is.
        unread: beginnings of the names of weights that nothing reads here, and that checkpoints may lack.
        unsliceable: why heads of a model with this configuration cannot be taken out; None where they can.
        towers: layouts by the tower's model type, where a model may bring one of several; `refused` names all others.
        inner: the attention's attribute that holds the width of all its head outputs, where it has one.
    """

    model_type: str
    model_class: str
    auto_class: str
    adapter: type[TransformersAdapter]
    layout: TowerLayout
    heads_field: str
    embeddings: str
    tokens: Tokens
    prompt: str | None = None
    reads: Callable[[Any], tuple[int, ...]] = lambda config: (-1,)
    untold: Callable[[Any], int] = lambda config: 0
    others: tuple[str, ...] = ()
    refused: Callable[[Any], str | None] = lambda config: None
    unread: tuple[str, ...] = ()
    unsliceable: Callable[[Any], str | None] = lambda config: None
    towers: Mapping[str, TowerLayout] = field(default_factory=dict)
    inner: str | None = None

    def layout_of(self, config: Any) -> TowerLayout:
        """The tower of a model with this configuration."""
        layout = self.towers[config.vision_config.model_type] if self.towers else self.layout
        return replace(layout, reads=self.reads(config))

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
            inner=self.inner,
        )
