"""headprune apply: from a model and a patch to a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headprune.errors import UsageError
from headprune.evaluation.table1 import Change
from headprune.files import refuse_unless_free
from headprune.jobs.auto import AutoSearch, Searched
from headprune.jobs.opening import load_for
from headprune.patch.export import export_folded
from headprune.patch.file import load_patch
from headprune.patch.fit import check_fit
from headprune.patch.patch import Patch, ScaleRule
from headprune.patch.prune import PruneRule, choose_pruned, head_list
from headprune.recipes.schema import Recipe
from headprune.scoring.algorithm import Progress


def choose_change(patch: Patch, scale: ScaleRule, prune: str | None) -> Change:
    """Coefficients of a patch under a scale and a pruning rule.

    Raises:
        UsageError: the rule makes no sense for this patch.
    """
    pruned = choose_pruned(patch, PruneRule.parse(prune)) if prune else np.zeros(patch.scale.shape, bool)
    across = bool(prune and prune.startswith("fraction") and patch.info.comparable == "across-layers")
    there = patch.info.model.present
    return Change(patch.coefficients(scale, pruned), patch.coefficients(scale), pruned, there, patch.scored, across)


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
    """Export the recipe's model with a patch folded in; with `auto`, the fraction is searched for first.

    Raises:
        PatchError: unreadable, or for another model. UsageError: `out` is not empty, or the rule makes no sense.
    """
    if recipe.apply.how != "fold":
        raise UsageError(
            f"--how {recipe.apply.how} is not there yet", "use --how fold: sizes stay, pruned heads fall silent"
        )
    refuse_unless_free(out)
    patch = load_patch(patch_path)
    prune = recipe.apply.prune
    search = AutoSearch(recipe, patch, patch_path) if prune == "auto" else None
    change = choose_change(patch, recipe.apply.scale, None if search else prune)
    adapter = load_for(recipe)
    check_fit(patch, adapter, allow_other_weights)
    found = search.find(adapter, progress) if search else None
    if found:
        change = choose_change(patch, recipe.apply.scale, found.pruning.rule)
        prune = f"auto: {found.pruning.rule}, max_drop={recipe.apply.max_drop:g}"
    pruned = head_list(change.pruned)
    record: dict[str, Any] = {
        "base": adapter.ref.name,
        "base_revision": adapter.ref.revision,
        "patch": patch.digest(),
        "how": recipe.apply.how,
        "scale": recipe.apply.scale,
        "prune": prune,
        "pruned": [list(head) for head in pruned],
    }
    export_folded(adapter, change.coefficients, out, record)
    # Folding writes coefficients into weights that stay where they are.
    return Exported(out, pruned, adapter.parameter_count(), adapter.parameter_count(), found)
