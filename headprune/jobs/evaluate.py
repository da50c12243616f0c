"""headprune evaluate: table 1 from a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headprune.evaluation.table1 import Convergence, EvaluateSettings, Evaluation, evaluate_model
from headprune.hooks.catalogue import make_scorer
from headprune.jobs.apply import choose_change
from headprune.jobs.opening import announce_left_out, batch_for, dataset_for, load_for
from headprune.patch.file import load_patch
from headprune.patch.fit import check_fit
from headprune.recipes.schema import Recipe
from headprune.scoring.sampling import remaining


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A finished `evaluate`: table 1, and how many samples were left out because scoring had used them."""

    evaluation: Evaluation
    excluded: int


def perform_evaluate(
    recipe: Recipe,
    patch_path: Path | None = None,
    exclude: Path | None = None,
    allow_other_weights: bool = False,
    progress: Callable[[str], None] = lambda stage: None,
) -> Evaluated:
    """Table 1 for the recipe's model, without and with a patch, on samples that were not scored on.

    Samples that `exclude`, a run folder, was scored on are left out, and those of the patch when it was made on the
    same data.
    """
    asked = recipe.evaluate
    scorer = make_scorer(asked.scorer, dict(asked.scorer_options))
    convergence = None
    if asked.convergence:
        exact = asked.convergence_scorer == "exact"
        judge = None if exact else make_scorer(asked.convergence_scorer, dict(asked.convergence_options))
        convergence = Convergence(judge, asked.tau)
    patch = load_patch(patch_path) if patch_path else None
    change = choose_change(patch, recipe.apply.scale, recipe.apply.prune) if patch else None
    used = set(load_patch(exclude / "patch.safetensors").info.sample_ids) if exclude else set()
    dataset = dataset_for(recipe)
    if patch and patch.info.dataset == dataset.ref:
        used |= set(patch.info.sample_ids)
    here = remaining(dataset, used)
    announce_left_out(here.left_out)
    if "gold" in scorer.needs:
        scorer.fit([sample.captions for sample in dataset.samples if sample.captions])
    adapter = load_for(recipe)
    if patch:
        check_fit(patch, adapter, allow_other_weights)
    settings = EvaluateSettings(
        scorer, recipe.generation.plain(), batch_for(recipe, adapter), convergence, asked.random, recipe.seed
    )
    evaluation = evaluate_model(adapter, here.samples, settings, change, progress)
    return Evaluated(evaluation, sum(sample.id in used for sample in dataset.samples))
