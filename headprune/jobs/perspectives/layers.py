"""headprune layers: what every layer says (Eq. 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from headprune.hooks.catalogue import make_scorer
from headprune.jobs.perspectives.frame import Perspective, Progress, Scene, look
from headprune.perspectives.layers import Layers, scored_layers, what_layers_say
from headprune.recipes.schema import Recipe
from headprune.scoring.importance import fit_to
from headprune.towers.adapter import Adapter
from headprune.types import Dataset, Expense


class LayersPerspective(Perspective):
    """Captions of layers, and dS by the recipe's `scorer`."""

    kind = "layers"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.scorer = make_scorer(recipe.scorer, dict(recipe.scorer_options))
        self.scorer_name = recipe.scorer

    def meet(self, scene: Scene) -> None:
        fit_to(self.scorer, scene.dataset)

    def expense(self, pictures: int, layers: Sequence[int]) -> Expense | None:
        return super().expense(pictures, layers if self.scorer.compares else scored_layers(layers))

    def look(self, scene: Scene, progress: Progress) -> Layers:
        return what_layers_say(
            scene.adapter, scene.samples, scene.layers, self.scorer, scene.generation, scene.batch, scene.seed
        )

    def document(self, found: Layers) -> dict[str, Any]:
        return {
            "layers": list(found.layers),
            "captions": found.captions,
            "gained": found.gained,
            "scores": found.scores.tolist(),
            "change": [asdict(interval) for interval in found.change],
        }


def layers(adapter: Adapter, dataset: Dataset, progress: Progress = lambda stage: None, **settings: Any) -> Layers:
    """What every layer says, and dS (Eq. 9): the library's way in.

    Args:
        adapter, dataset: as for `headprune.score`.
        progress: called with the stage.
        settings: of a recipe, with its defaults: samples=100, seed=0, layers="all", scorer="bertscore", ...

    Raises:
        UsageError: a setting is unknown or wrong. PluginError: the scorer is unknown or misbehaves.
    """
    found: Layers = look(LayersPerspective, adapter, dataset, settings, progress)
    return found
