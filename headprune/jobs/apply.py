"""headprune apply: from a model and a patch to a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headprune.errors import notice
from headprune.evaluation.auto import candidates, validation_size
from headprune.evaluation.table1 import Change
from headprune.events import Progress
from headprune.files import refuse_unless_free
from headprune.hooks.catalogue import make_scorer
from headprune.jobs.auto import AutoSearch, Searched
from headprune.jobs.measured import kept_evaluation
from headprune.jobs.opening import load_for
from headprune.patch.export import export
from headprune.patch.file import load_patch
from headprune.patch.fit import check_fit
from headprune.patch.patch import Patch, ScaleRule
from headprune.patch.prune import PruneRule, choose_pruned, head_list, silent
from headprune.recipes.schema import Recipe
from headprune.types import Expense


def choose_change(patch: Patch, scale: ScaleRule, prune: str | None) -> Change:
    """Coefficients of a patch under a scale and a pruning rule.

    Raises:
        UsageError: the rule makes no sense for this patch.
    """
    pruned = choose_pruned(patch, PruneRule.parse(prune)) if prune else np.zeros(patch.scale.shape, bool)
    across = bool(prune and prune.startswith("fraction") and patch.info.comparable == "across-layers")
    there = patch.info.model.present
    return Change(patch.coefficients(scale, pruned), patch.coefficients(scale), pruned, there, patch.scored, across)


def expense_of_apply(recipe: Recipe, patch_path: Path) -> Expense | None:
    """What the scorer of `--prune auto` would cost at most; None where it is free, or nothing is searched for."""
    asked = recipe.evaluate
    if recipe.apply.prune != "auto":
        return None
    patch = load_patch(patch_path)
    # Each candidate's captions, and those of the model as it is.
    tables = 1 + len(candidates(patch))
    scorer = make_scorer(asked.scorer, dict(asked.scorer_options))
    return scorer.expense(tables * validation_size(len(patch.info.sample_ids)), 1)


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished `apply`."""

    out: Path
    pruned: list[tuple[int, int]]
    parameters_before: int
    parameters_after: int
    auto: Searched | None = None


def perform_apply(
    recipe: Recipe,
    patch_path: Path,
    out: Path,
    allow_other_weights: bool = False,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Exported:
    """Export the recipe's model with a patch folded in, or its pruned heads sliced out.

    With `auto` the fraction is searched for first.

    Raises:
        PatchError: unreadable, or for another model. UsageError: `out` is not empty, or the rule makes no sense.
        ModelError: the family cannot be sliced, or the exported model says something else than the patched one.
    """
    refuse_unless_free(out)
    patch = load_patch(patch_path)
    prune = recipe.apply.prune
    search = AutoSearch(recipe, patch, patch_path) if prune == "auto" else None
    change = choose_change(patch, recipe.apply.scale, None if search else prune)
    adapter = load_for(recipe)
    check_fit(patch, adapter, allow_other_weights)
    found = search.find(adapter, progress) if search else None
    settings = recipe.apply
    rule = found.pruning.rule if found else prune
    if found:
        change = choose_change(patch, settings.scale, rule)
        prune = f"auto: {rule}, max_drop={settings.max_drop:g}"
    record = {"patch": patch.digest(), "scale": settings.scale, "prune": prune}
    evaluation = kept_evaluation(patch_path, patch, settings.scale, rule)
    after = export(adapter, change.coefficients, out, record, settings.how, evaluation)
    pruned = head_list(silent(adapter.geometry, change.coefficients))
    if settings.how == "slice" and not pruned:
        notice(
            "no head is pruned, so slicing took nothing out: the model is as large as before (--prune chooses heads)"
        )
    return Exported(out, pruned, adapter.parameter_count(), after, found)
