"""headprune dataflow: what each head, the bias and the MLP add to the residual stream (Eq. 3-6)."""

from __future__ import annotations

from typing import Any

import numpy as np

from headprune.errors import UsageError, notice
from headprune.jobs.perspectives.frame import Perspective, Progress, Scene, look
from headprune.perspectives.dataflow import DataFlow, Parts, data_flow
from headprune.recipes.schema import Recipe
from headprune.scoring.statistics import Floats, limits
from headprune.towers.adapter import Adapter
from headprune.types import Dataset


class DataflowPerspective(Perspective):
    """The data flow at the recipe's `token`."""

    kind = "dataflow"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        asked = recipe.dataflow.token
        if asked not in (None, "cls", "mean") and not (asked.isascii() and asked.isdigit()):
            raise UsageError(f"{asked!r} is no token", "--token cls, mean, or a token's number, counted from 0")
        self.asked = asked

    def meet(self, scene: Scene) -> None:
        if scene.adapter.geometry.cls:
            return
        if self.asked == "cls":
            raise UsageError(
                f"the tower of {scene.adapter.ref} has no CLS token", "--token mean, or a token's number, from 0"
            )
        if self.asked is None:
            notice("the tower has no CLS token: contributions are averaged over all tokens")

    def look(self, scene: Scene, progress: Progress) -> DataFlow:
        return data_flow(
            scene.adapter,
            scene.samples,
            scene.layers,
            scene.batch,
            self._token(scene),
            lambda done: progress(f"{done} of {len(scene.samples)} samples"),
        )

    def _token(self, scene: Scene) -> int | None:
        if self.asked is None:
            return 0 if scene.adapter.geometry.cls else None
        return {"cls": 0, "mean": None}[self.asked] if self.asked in ("cls", "mean") else int(self.asked)

    def document(self, found: DataFlow) -> dict[str, Any]:
        """Means over pictures; a head that a sliced layer does not have is null."""

        def told(values: Floats) -> dict[str, Any]:
            low, high = limits(values, self.recipe.seed)
            return {"mean": _listed(values.mean(axis=0)), "low": _listed(low), "high": _listed(high)}

        def parts(parts: Parts) -> dict[str, Any]:
            return {"heads": told(parts.heads), "bias": told(parts.bias), "mlp": told(parts.mlp)}

        flow = found.chosen
        return {
            "layers": list(found.layers),
            "token": found.token,
            "share": parts(flow.share),
            "projection": parts(flow.projection),
            "norm": parts(flow.norm),
            "update": told(flow.update),
            "error": float(found.error.max()),
        }


def _listed(numbers: Floats) -> Any:
    """Nested lists, None where a number is unset."""
    plain = numbers.astype(object)
    plain[np.isnan(numbers)] = None
    return plain.tolist()


def dataflow(adapter: Adapter, dataset: Dataset, progress: Progress = lambda stage: None, **settings: Any) -> DataFlow:
    """What each head, the bias and the MLP add to the residual stream (Eq. 3-6): the library's way in.

    Args:
        adapter, dataset: as for `headprune.score`.
        progress: called with the stage.
        settings: of a recipe, with its defaults: samples=100, seed=0, layers="all", dataflow={"token": "mean"}, ...

    Raises:
        UsageError: a setting is unknown or wrong, or there is no such token. ModelError: the parts do not add up.
    """
    found: DataFlow = look(DataflowPerspective, adapter, dataset, settings, progress)
    return found
