"""headprune evaluate: table 1 from a recipe."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from headprune.errors import notice
from headprune.evaluation.table1 import EvaluateSettings, Evaluation, evaluate_model
from headprune.hooks.catalogue import make_scorer
from headprune.jobs.apply import choose_change
from headprune.jobs.measured import keep_evaluation
from headprune.jobs.opening import announce_left_out, batch_for, dataset_for, labelled, load_for, request_of
from headprune.patch.file import load_patch
from headprune.patch.fit import check_fit
from headprune.patch.patch import Patch, ScaleRule
from headprune.perspectives.convergence import Convergence
from headprune.recipes import resolve
from headprune.recipes.schema import EvaluateSettings as EvaluateTable
from headprune.recipes.schema import Recipe
from headprune.scoring.importance import fit_to
from headprune.scoring.sampling import remaining
from headprune.towers.adapter import Adapter
from headprune.towers.load import outline_model
from headprune.types import Dataset, Expense, expense_of_all


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A finished `evaluate`: table 1, how many samples were left out because scoring had used them, and the file in
    its run folder in which it was kept, if it was."""

    evaluation: Evaluation
    excluded: int
    scorer: str
    kept: Path | None = None

    def document(self) -> dict[str, Any]:
        """The same as plain data, for JSON."""
        document = asdict(self.evaluation)
        if self.evaluation.control:
            document["control"]["better_than_chance"] = self.evaluation.control.better_than_chance
        return {**document, "excluded": self.excluded, "scorer": self.scorer}


def perform_evaluate(
    recipe: Recipe,
    patch_path: Path | None = None,
    exclude: Path | None = None,
    allow_other_weights: bool = False,
    progress: Callable[[str], None] = lambda stage: None,
) -> Evaluated:
    """Table 1 for the recipe's model, without and with a patch, on samples that were not scored on.

    Samples that `exclude`, a run folder, was scored on are left out, and those of the patch when it was made on the
    same data. The result is kept in the run folder that the patch lies in, if it lies in one.
    """
    patch = load_patch(patch_path) if patch_path else None
    used = load_patch(exclude / "patch.safetensors").info.sample_ids if exclude else ()
    job = _Job(recipe, patch)
    dataset = dataset_for(recipe)
    adapter = load_for(recipe)
    if patch:
        check_fit(patch, adapter, allow_other_weights)
    done = job.run(adapter, dataset, used, progress)
    if not (patch and patch_path):
        return done
    kept = keep_evaluation(patch_path, patch, recipe.apply.scale, recipe.apply.prune, done.document())
    return replace(done, kept=kept)


def expense_of_evaluate(recipe: Recipe, patched: bool) -> Expense | None:
    """What the scorers of `perform_evaluate` would cost at most; None where they are free."""
    asked = recipe.evaluate
    scorer = make_scorer(asked.scorer, dict(asked.scorer_options))
    judge = convergence_for(asked).scorer if asked.convergence else None
    if not any(one and one.expense(1, 1) for one in (scorer, judge)):
        return None
    pictures = len(dataset_for(recipe))
    layers = outline_model(recipe.model, request_of(recipe)).geometry.live
    tables = 2 + asked.random if patched else 1
    agreement = judge.expense((2 if patched else 1) * layers * pictures, 1) if judge else None
    return expense_of_all([scorer.expense(tables * pictures, 1), agreement])


def evaluate(
    adapter: Adapter,
    dataset: Dataset,
    patch: Patch | None = None,
    *,
    scale: ScaleRule = "mean-one",
    prune: str | None = None,
    exclude: Collection[str] = (),
    progress: Callable[[str], None] = lambda stage: None,
    **settings: Any,
) -> Evaluation:
    """Table 1 on a loaded model and an opened dataset: the library's way in.

    Args:
        adapter, dataset: as for `headprune.score`.
        patch: evaluated before and after; its own samples are left out when it was made on this dataset.
        scale, prune: how it is applied, as `headprune apply` takes them.
        exclude: ids of further samples to leave out.
        progress: called with the stage.
        settings: scorer="cider", scorer_options={}, convergence=False, tau=0.95, random=10.

    Raises:
        PatchError: the patch does not fit. UsageError: a setting is unknown or wrong.
    """
    overrides = {"model": adapter.ref.name, "data": dataset.ref, "apply": {"scale": scale, "prune": prune}}
    recipe = resolve(None, {**overrides, "evaluate": settings}).recipe
    if patch:
        check_fit(patch, adapter)
    return _Job(recipe, patch).run(adapter, dataset, exclude, progress).evaluation


def convergence_for(asked: EvaluateTable) -> Convergence:
    """How the recipe wants convergence judged; `exact` asks for equal captions."""
    exact = asked.convergence_scorer == "exact"
    judge = None if exact else make_scorer(asked.convergence_scorer, dict(asked.convergence_options))
    return Convergence(judge, asked.tau)


class _Job:
    """One evaluation: what it needs is made before the model is loaded, so that a mistake costs no waiting."""

    def __init__(self, recipe: Recipe, patch: Patch | None) -> None:
        asked = recipe.evaluate
        self.recipe = recipe
        self.patch = patch
        self.scorer = make_scorer(asked.scorer, dict(asked.scorer_options))
        self.convergence = convergence_for(asked) if asked.convergence else None
        self.change = choose_change(patch, recipe.apply.scale, recipe.apply.prune) if patch else None

    def run(
        self, adapter: Adapter, dataset: Dataset, exclude: Collection[str], progress: Callable[[str], None]
    ) -> Evaluated:
        used = set(exclude)
        if self.patch and self.patch.info.dataset == dataset.ref:
            used |= set(self.patch.info.sample_ids)
        elif self.patch:
            self._doubt(dataset, set(self.patch.info.sample_ids) - used)
        here = remaining(dataset, used)
        announce_left_out(here.left_out)
        fit_to(self.scorer, dataset)
        recipe = self.recipe
        settings = EvaluateSettings(
            scorer=self.scorer,
            generation=labelled(recipe.generation.plain(), adapter, dataset),
            batch=batch_for(recipe, adapter),
            convergence=self.convergence,
            random=recipe.evaluate.random,
            seed=recipe.seed,
        )
        evaluation = evaluate_model(adapter, here.samples, settings, self.change, progress)
        return Evaluated(evaluation, sum(sample.id in used for sample in dataset.samples), recipe.evaluate.scorer)

    def _doubt(self, dataset: Dataset, scored: set[str]) -> None:
        """Say so when data of another name has samples called as those that the patch was scored on."""
        shared = sum(sample.id in scored for sample in dataset.samples)
        if self.patch and shared:
            notice(
                f"the patch was scored on {self.patch.info.dataset}, not on {dataset.ref}, but {shared} of its samples "
                "have a namesake here, which is evaluated; --exclude RUN leaves them out"
            )
