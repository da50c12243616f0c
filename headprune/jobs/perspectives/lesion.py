"""headprune lesion: what is said when a layer's attention, or its residual stream, is a mean (section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from headprune.errors import UsageError
from headprune.hooks.catalogue import make_scorer
from headprune.hooks.datasets import open_dataset
from headprune.jobs.opening import announce_left_out
from headprune.jobs.perspectives.frame import Perspective, Progress, Scene, look
from headprune.perspectives.lesion import Lesioned, Lesions, lesion_layers
from headprune.perspectives.means import mean_inputs
from headprune.recipes.layers import parse_layers
from headprune.recipes.schema import Recipe
from headprune.scoring.importance import fit_to
from headprune.scoring.sampling import draw
from headprune.towers.adapter import Adapter
from headprune.types import Dataset, Expense, Sample


class LesionPerspective(Perspective):
    """The recipe's `lesion` table: each layer alone and ranges of layers at once, scored by the recipe's `scorer`."""

    kind = "lesion"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.scorer = make_scorer(recipe.scorer, dict(recipe.scorer_options))
        self.scorer_name = recipe.scorer
        asked = recipe.lesion
        if asked.means_options and not asked.means_data:
            raise UsageError("options for the data that means are taken on, but no such data", "--means-data DATA")
        self.elsewhere = open_dataset(asked.means_data, dict(asked.means_options)) if asked.means_data else None
        self.together: list[tuple[int, ...]] = []
        self.pictures: tuple[Sample, ...] = ()

    def meet(self, scene: Scene) -> None:
        fit_to(self.scorer, scene.dataset)
        geometry = scene.adapter.geometry
        self.together = [parse_layers(text, geometry.live, geometry.dead) for text in self.recipe.lesion.together]
        self.pictures = self._pictures(scene)

    def _pictures(self, scene: Scene) -> tuple[Sample, ...]:
        """Those that means are taken over: the samples, unless others were asked for."""
        count = self.recipe.lesion.means_samples
        if not (self.elsewhere or count):
            return scene.samples
        drawn = draw(self.elsewhere or scene.dataset, count or self.recipe.samples, scene.seed)
        announce_left_out(drawn.left_out)
        return drawn.samples

    def expense(self, pictures: int, layers: Sequence[int]) -> Expense | None:
        asked = self.recipe.lesion
        return super().expense(pictures * len(asked.lesions) * (len(layers) + len(asked.together)), (0,))

    def look(self, scene: Scene, progress: Progress) -> Lesions:
        asked = self.recipe.lesion
        layers = sorted({*scene.layers, *(layer for some in self.together for layer in some)})
        progress(f"means over {len(self.pictures)} pictures")
        # Of the model as it stands: with a patch, its layers read something else.
        means = mean_inputs(scene.adapter, self.pictures, layers, scene.batch, asked.means == "token")
        return lesion_layers(
            scene.adapter,
            scene.samples,
            scene.layers,
            means,
            self.scorer,
            scene.generation,
            scene.batch,
            lesions=asked.lesions,
            together=self.together,
            seed=scene.seed,
            progress=lambda done: progress(f"lesions: {done} of {len(scene.samples)} pictures"),
        )

    def document(self, found: Lesions) -> dict[str, Any]:
        interval = found.unchanged_interval
        return {
            "lesions": list(found.lesions),
            "means": "token" if found.per_token else "all",
            "mean_samples": found.mean_samples,
            "unchanged": {"captions": found.unchanged, "score": asdict(interval) if interval else None},
            "alone": _places(found, found.alone),
            "together": _places(found, found.together),
        }


def _places(found: Lesions, part: Lesioned) -> list[dict[str, Any]]:
    return [
        {
            "lesion": name,
            "layers": list(layers),
            "score": asdict(part.intervals[number][place]),
            "scores": part.scores[number, place].tolist(),
            "captions": part.captions[number][place],
        }
        for number, name in enumerate(found.lesions)
        for place, layers in enumerate(part.places)
    ]


def lesion(adapter: Adapter, dataset: Dataset, progress: Progress = lambda stage: None, **settings: Any) -> Lesions:
    """The lesion experiments (section 4.2): the library's way in.

    Args:
        adapter, dataset: as for `headprune.score`.
        progress: called with the stage.
        settings: of a recipe, with its defaults: samples=100, seed=0, layers="all", scorer="bertscore",
            lesion={"lesions": ["mean-input", "confuse"], "together": [], "means": "token"}, ...

    Raises:
        UsageError: a setting is unknown or wrong. PluginError: the scorer is unknown or misbehaves.
    """
    found: Lesions = look(LesionPerspective, adapter, dataset, settings, progress)
    return found
