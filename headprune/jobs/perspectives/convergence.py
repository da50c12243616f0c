"""headprune convergence: from which layer on the answer stands (section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from headprune.hooks.catalogue import make_scorer
from headprune.jobs.evaluate import convergence_for
from headprune.jobs.perspectives.frame import Perspective, Progress, Scene, look
from headprune.perspectives.convergence import Converged, converged
from headprune.recipes.schema import Recipe
from headprune.scoring.importance import fit_to
from headprune.towers.adapter import Adapter
from headprune.types import Dataset, Expense, expense_of_all


class ConvergencePerspective(Perspective):
    """The scores of layers by the recipe's `evaluate.scorer`, and where they and the captions stand still."""

    kind = "convergence"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        asked = recipe.evaluate
        self.scorer = make_scorer(asked.scorer, dict(asked.scorer_options))
        self.convergence = convergence_for(asked)
        self.scorer_name = asked.scorer

    def meet(self, scene: Scene) -> None:
        fit_to(self.scorer, scene.dataset)
        if self.convergence.scorer:
            fit_to(self.convergence.scorer, scene.dataset)

    def expense(self, pictures: int, layers: Sequence[int]) -> Expense | None:
        judge = self.convergence.scorer
        agreement = judge.expense(pictures * len(layers), 1) if judge else None
        return expense_of_all([super().expense(pictures, layers), agreement])

    def look(self, scene: Scene, progress: Progress) -> Converged:
        return converged(
            scene.adapter,
            scene.samples,
            scene.layers,
            self.scorer,
            self.convergence,
            scene.generation,
            scene.batch,
            self.recipe.evaluate.tol,
            scene.seed,
        )

    def document(self, found: Converged) -> dict[str, Any]:
        return {
            "layers": list(found.layers),
            "captions": found.captions,
            "scores": found.scores.tolist(),
            "curve": [asdict(interval) for interval in found.curve],
            "tol": found.tol,
            "plateau": dict(zip(("layer", "low", "high"), (found.plateau, *found.plateau_limits), strict=True))
            if found.plateau_limits
            else None,
            "tau": found.tau,
            "convergence_layers": found.convergence_layers.tolist(),
            "convergence_layer": asdict(found.convergence_layer),
        }


def convergence(
    adapter: Adapter, dataset: Dataset, progress: Progress = lambda stage: None, **settings: Any
) -> Converged:
    """From which layer on a model's answer stands (section 4.3): the library's way in.

    Args:
        adapter, dataset: as for `headprune.score`.
        progress: called with the stage.
        settings: of a recipe, with its defaults: samples=100, seed=0, layers="all", evaluate={"scorer": "cider",
            "convergence_scorer": "bertscore", "tau": 0.95, "tol": 0.02}, ...

    Raises:
        UsageError: a setting is unknown or wrong. PluginError: a scorer is unknown or misbehaves.
    """
    found: Converged = look(ConvergencePerspective, adapter, dataset, settings, progress)
    return found
