"""headprune concreteness: from abstract to concrete (section 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from headprune.hooks.catalogue import make_scorer
from headprune.hooks.kinds import LayerRater
from headprune.jobs.perspectives.frame import Perspective, Progress, Scene, look
from headprune.perspectives.concreteness import Concreteness, how_concrete
from headprune.recipes.schema import Recipe
from headprune.scoring.importance import fit_to
from headprune.towers.adapter import Adapter
from headprune.types import Dataset, Expense


class ConcretenessPerspective(Perspective):
    """Ratings of what layers say, by the recipe's `scorer`; where it names none, by one that asks no server."""

    kind = "concreteness"
    default_scorer = "concreteness"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.scorer = make_scorer(recipe.scorer, dict(recipe.scorer_options))
        self.scorer_name = recipe.scorer
        self._references: tuple[str, ...] | None = None

    def meet(self, scene: Scene) -> None:
        fit_to(self.scorer, scene.dataset)

    def expense(self, pictures: int, layers: Sequence[int]) -> Expense | None:
        if isinstance(self.scorer, LayerRater):
            return self.scorer.expense(pictures, len(layers))
        return super().expense(pictures, layers)

    def look(self, scene: Scene, progress: Progress) -> Concreteness:
        # With a patch, too, captions are compared with what the unchanged model says.
        found = how_concrete(
            scene.adapter,
            scene.samples,
            scene.layers,
            self.scorer,
            scene.generation,
            scene.batch,
            scene.seed,
            progress,
            self._references,
        )
        self._references = found.references
        return found

    def document(self, found: Concreteness) -> dict[str, Any]:
        return {
            "layers": list(found.layers),
            "captions": found.captions,
            "criteria": list(found.criteria),
            "ratings": found.ratings.tolist(),
            "score": [asdict(interval) for interval in found.score],
            "by_criterion": {
                criterion: [asdict(interval) for interval in intervals]
                for criterion, intervals in zip(found.criteria, found.by_criterion, strict=True)
            },
        }


def concreteness(
    adapter: Adapter, dataset: Dataset, progress: Progress = lambda stage: None, **settings: Any
) -> Concreteness:
    """How concrete what layers say is (section 4.4): the library's way in. A scorer that is paid is not asked about.

    Args:
        adapter, dataset: as for `headprune.score`.
        progress: called with the stage.
        settings: of a recipe, with its defaults: samples=100, seed=0, layers="all", scorer="concreteness",
            scorer_options={}, ...

    Raises:
        UsageError: a setting is unknown or wrong. PluginError: the scorer is unknown or misbehaves.
    """
    found: Concreteness = look(ConcretenessPerspective, adapter, dataset, settings, progress)
    return found
