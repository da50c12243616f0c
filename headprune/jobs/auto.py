"""The search behind `headprune apply --prune auto`: from a run folder to a fraction, a stored curve and its figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headprune.errors import DataError, UsageError, notice
from headprune.evaluation.auto import AutoPruning, AutoSettings, search_fraction, validation_size
from headprune.events import Progress
from headprune.hooks.catalogue import make_scorer
from headprune.jobs.opening import batch_for, dataset_for, labelled
from headprune.patch.patch import Patch
from headprune.patch.prune import PruneRule, choose_pruned
from headprune.recipes.schema import Recipe
from headprune.report.curve import draw_curve
from headprune.runs.canonical import canonical
from headprune.runs.folder import RunFolder
from headprune.runs.store import FILE as STORE
from headprune.scoring.importance import fit_to
from headprune.scoring.kept import kept_importances, patch_of_first
from headprune.towers.adapter import Adapter
from headprune.types import Dataset, Generation, Sample, Schedule

CURVE = "prune-auto"
"""The key of the run's store under which the last search lies, as canonical JSON; the name of its figure."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What the search found, and where its curve is drawn."""

    pruning: AutoPruning
    figure: Path

    def document(self) -> dict[str, Any]:
        """The same, JSON-able."""
        return {**asdict(self.pruning), "figure": str(self.figure)}


class AutoSearch:
    """One search: what it needs is opened before the model is loaded, so that a mistake costs no waiting.

    Args:
        recipe: how the patch is applied, and which scorer judges (`evaluate.scorer`).
        patch: of a run.
        path: where the patch is: in its run folder.

    Raises:
        UsageError: no run folder, no ranking, or too few samples. DataError: the run's data is not there any more.
    """

    def __init__(self, recipe: Recipe, patch: Patch, path: Path) -> None:
        choose_pruned(patch, PruneRule("fraction", 0))
        self.recipe = recipe
        self.patch = patch
        self.run = path.parent
        ids = patch.info.sample_ids
        self.ranking = len(ids) - validation_size(len(ids))
        if not (self.run / STORE).is_file():
            raise UsageError(
                f"--prune auto needs the run that made the patch; {self.run} is no run folder",
                "give RUN/patch.safetensors where headprune score wrote it, or use --prune fraction=F",
            )
        with RunFolder.open(self.run) as run:
            self.ranked = patch_of_first(patch, kept_importances(run.store, patch), self.ranking)
            dataset = _dataset(recipe, run)
        self.dataset = dataset
        self.samples = _named(dataset, ids[self.ranking :])
        asked = recipe.evaluate
        self.scorer = make_scorer(asked.scorer, dict(asked.scorer_options))
        fit_to(self.scorer, dataset)
        if patch.info.schedule == Schedule.SEQUENTIAL.value:
            notice(
                "the patch was scored sequentially: its validation samples had a part in the coefficients that later "
                "layers were scored under, so the curve may flatter it"
            )

    def find(self, adapter: Adapter, progress: Callable[[Progress], None]) -> Searched:
        """Search on the loaded model, store the curve in the run and draw it there."""
        info, apply = self.patch.info, self.recipe.apply
        settings = AutoSettings(
            scorer=self.scorer,
            scorer_name=self.recipe.evaluate.scorer,
            generation=self._generation(adapter),
            batch=batch_for(self.recipe, adapter),
            scale=apply.scale,
            max_drop=apply.max_drop,
            seed=info.seed,
        )
        pruning = search_fraction(adapter, self.ranked, self.samples, settings, progress)
        figure = self.run / f"{CURVE}.png"
        with RunFolder.open(self.run) as run:
            run.store.set_meta(CURVE, canonical({**asdict(pruning), "patch": self.patch.digest()}))
        draw_curve(pruning, figure)
        return Searched(pruning, figure)

    def _generation(self, adapter: Adapter) -> Generation:
        """As the patch was scored."""
        recorded = dict(self.patch.info.generation)
        labels = recorded.pop("labels", None)
        generation = labelled(Generation(**recorded), adapter, self.dataset)
        if generation.record().get("labels") != labels:
            raise DataError(
                f"the labels of {self.dataset.ref} are not those that the patch was scored with",
                "put them back as they were, or score again",
            )
        return generation


def _dataset(recipe: Recipe, run: RunFolder) -> Dataset:
    """What the run was scored on, as its own settings name it."""
    scored = run.identity()
    named = {name: scored.get(name) for name in ("data", "dataset", "dataset_options")}
    try:
        return dataset_for(recipe.model_copy(update=named))
    except DataError as error:
        raise DataError(
            f"the data that the patch was scored on: {error.message}",
            "give the command where headprune score was given",
        ) from error


def _named(dataset: Dataset, ids: Sequence[str]) -> list[Sample]:
    """The samples of these ids, in their order."""
    known = {sample.id: sample for sample in dataset.samples}
    missing = next((id_ for id_ in ids if id_ not in known), None)
    if missing is not None:
        raise DataError(
            f"sample {missing}, which the patch was scored on, is not in {dataset.ref}",
            "put the data back as it was, or score again",
        )
    return [known[id_] for id_ in ids]
