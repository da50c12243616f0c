"""headprune heatmap: where layers and heads look (Eq. 7-8)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from headprune.errors import notice
from headprune.jobs.perspectives.frame import Perspective, Progress, Scene, look
from headprune.perspectives.heatmap import Heatmap, where_layers_look
from headprune.towers.adapter import Adapter
from headprune.types import Dataset


class HeatmapPerspective(Perspective):
    """Maps of layers and heads, without the outliers by the recipe's `heatmap.outliers`."""

    kind = "heatmap"

    def meet(self, scene: Scene) -> None:
        announce_reader(scene.adapter)

    def look(self, scene: Scene, progress: Progress) -> Heatmap:
        k = self.recipe.heatmap.outliers
        return where_layers_look(scene.adapter, scene.samples, scene.layers, scene.batch, k, scene.seed)

    def document(self, found: Heatmap) -> dict[str, Any]:
        return maps_document(found)


def announce_reader(adapter: Adapter) -> None:
    """Say whose attention it is where a tower has no CLS token."""
    if not adapter.geometry.cls:
        notice(
            "this tower has no CLS token: a map is the mean of what all patches give each patch, and A[l] is always 1"
        )


def maps_document(found: Heatmap) -> dict[str, Any]:
    """What a heatmap tells on stdout: its numbers and outliers; the maps are in the run folder."""

    def by_layer(means: Any) -> list[dict[str, float] | None]:
        return [mean and asdict(mean) for mean in means]

    return {
        "layers": list(found.layers),
        "reader": found.reader,
        "k": found.k,
        "attention": by_layer(found.mean_attention),
        "change": by_layer(found.mean_change),
        "l1": by_layer(found.mean_l1),
        "cosine": by_layer(found.mean_cosine),
        "pictures": [
            {
                "sample": picture.sample,
                "rows": picture.grid.rows,
                "columns": picture.grid.columns,
                "box": list(picture.grid.box),
                "outliers": [asdict(outlier) for outlier in picture.outliers],
            }
            for picture in found.pictures
        ],
    }


def heatmap(adapter: Adapter, dataset: Dataset, progress: Progress = lambda stage: None, **settings: Any) -> Heatmap:
    """Where layers and heads look (Eq. 7-8): the library's way in.

    Args:
        adapter, dataset: as for `headprune.score`.
        progress: called with the stage.
        settings: of a recipe, with its defaults: samples=100, seed=0, layers="all", heatmap={"outliers": 5.0}, ...

    Raises:
        UsageError: a setting is unknown or wrong.
    """
    found: Heatmap = look(HeatmapPerspective, adapter, dataset, settings, progress)
    return found
