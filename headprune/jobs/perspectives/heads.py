"""headprune heads: what each head of a layer says alone, and where it looks (figure 6)."""

from __future__ import annotations

from typing import Any

from headprune.edits.edit import Edit
from headprune.hooks.catalogue import make
from headprune.jobs.perspectives.frame import Perspective, Progress, Scene, look
from headprune.jobs.perspectives.heatmap import announce_reader, maps_document
from headprune.perspectives.heads import Heads, what_heads_say
from headprune.recipes.schema import Recipe
from headprune.towers.adapter import Adapter
from headprune.types import Dataset


class HeadsPerspective(Perspective):
    """Captions of heads by the recipe's `edit`, and their maps."""

    kind = "heads"
    default_layers = "-1"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.edit: Edit = make("edit", recipe.edit, (Edit,), dict(recipe.edit_options))

    def meet(self, scene: Scene) -> None:
        announce_reader(scene.adapter)

    def look(self, scene: Scene, progress: Progress) -> Heads:
        return what_heads_say(
            scene.adapter,
            scene.samples,
            scene.layers,
            self.edit,
            self.recipe.edit,
            scene.generation,
            scene.batch,
            self.recipe.heatmap.outliers,
            scene.seed,
        )

    def document(self, found: Heads) -> dict[str, Any]:
        return {
            "layers": list(found.layers),
            "edit": found.edit,
            "captions": found.captions,
            "unchanged": found.unchanged,
            "looks": maps_document(found.looks),
        }


def heads(adapter: Adapter, dataset: Dataset, progress: Progress = lambda stage: None, **settings: Any) -> Heads:
    """What each head says alone and where it looks (figure 6): the library's way in.

    Args:
        adapter, dataset: as for `headprune.score`.
        progress: called with the stage.
        settings: of a recipe, with its defaults: samples=100, seed=0, edit="isolate", heatmap={"outliers": 5.0}, ...;
            `layers` are the last alone unless named.

    Raises:
        UsageError: a setting is unknown or wrong. PluginError: the edit is unknown or misbehaves.
    """
    found: Heads = look(HeadsPerspective, adapter, dataset, settings, progress)
    return found
