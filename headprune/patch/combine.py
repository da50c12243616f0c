"""Patches of one tower put together, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headprune.errors import PatchError, UsageError, notice
from headprune.patch.patch import Array, Patch


def stack(patches: Sequence[Patch]) -> Patch:
    """One patch that does what applying all of them one after another does: scales multiply.

    Raises:
        UsageError: fewer than two. PatchError: for other weights.
    """
    _same_model(patches)
    unset = np.all([np.isnan(patch.scale) for patch in patches], axis=0)
    product = np.prod([np.nan_to_num(patch.scale, nan=1.0) for patch in patches], axis=0)
    return _composed(patches, np.where(unset, np.nan, product).astype(np.float32))


def blend(patch: Patch, weight: float) -> Patch:
    """A patch between doing nothing (weight 0) and `patch` (weight 1): 1 + w(s - 1)."""
    if not np.isfinite(weight):
        raise UsageError(f"a weight of {weight} blends nothing", "give a number, usually from 0 to 1")
    return _composed([patch], (1 + weight * (patch.scale.astype(np.float64) - 1)).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Difference:
    """Two patches side by side, over the layers both scored.

    Attributes:
        layers: those layers.
        scale: [L, H], second minus first, NaN elsewhere.
        rank: Spearman correlation of their alphas within each layer, averaged over `layers`; NaN where ranks tie all.
        rank_all: of their importances over all heads of `layers`; NaN unless both compare across layers.
        same_weights: whether both were made on the same weights.
    """

    layers: list[int]
    scale: Array
    rank: float
    rank_all: float
    same_weights: bool


def difference(first: Patch, second: Patch) -> Difference:
    """Compare two patches of one geometry.

    Raises:
        PatchError: the geometries differ, so no head of one is a head of the other.
    """
    if not np.array_equal(first.info.model.present, second.info.model.present):
        raise PatchError(
            f"the patches are for towers of {first.info.model.geometry} and {second.info.model.geometry}, "
            "whose heads are not the same",
            "heads compare only within one tower; a sliced one counts those it has left anew",
        )
    layers = sorted(set(first.scored) & set(second.scored))
    there = first.info.model.present
    ranks = [_spearman(first.scale[layer, there[layer]], second.scale[layer, there[layer]]) for layer in layers]
    return Difference(
        layers,
        second.scale - first.scale,
        float(np.mean(ranks)) if ranks else float("nan"),
        _rank_all(first, second, layers),
        first.info.model.fingerprint == second.info.model.fingerprint,
    )


def _rank_all(first: Patch, second: Patch, layers: list[int]) -> float:
    """Spearman correlation over all heads of `layers`, where importances of both patches mean the same in each."""
    if not layers or any(patch.info.comparable != "across-layers" for patch in (first, second)):
        return float("nan")
    there = first.info.model.present[layers]
    a, b = (patch.importance[layers][there] for patch in (first, second))
    # A composed patch has no importances.
    return _spearman(a, b) if np.isfinite(a).all() and np.isfinite(b).all() else float("nan")


def _spearman(a: Array, b: Array) -> float:
    x, y = (_ranks(values) - (len(values) - 1) / 2 for values in (a, b))
    spread = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / spread if spread else float("nan")


def _ranks(values: Array) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Ranks from 0, ties sharing their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    starts = np.cumsum(counts) - counts
    ranks: np.ndarray[tuple[int], np.dtype[np.float64]] = (starts + (counts - 1) / 2)[place]
    return ranks


def _same_model(patches: Sequence[Patch]) -> None:
    if len(patches) < 2:
        raise UsageError("stacking takes two patches or more", "headprune patch stack A B --out C")
    if len({patch.info.model.fingerprint for patch in patches}) > 1:
        raise PatchError("the patches were made on different weights", "stack patches of one model")
    if len({patch.info.dataset for patch in patches}) > 1:
        notice("the patches were scored on different data; the stack names the first one's, so give evaluate --exclude")


def _composed(patches: Sequence[Patch], scale: Array) -> Patch:
    """A patch with a scale only: importances of different runs do not add up to anything."""
    nothing = np.full_like(scale, np.nan)
    parents = tuple(patch.digest() for patch in patches)
    # Every sample that one of them was scored on has been used; only those of one dataset can be named together.
    ids = dict.fromkeys(id_ for patch in patches for id_ in patch.info.sample_ids)
    info = patches[0].info.model_copy(update={"parents": parents, "sample_ids": tuple(ids)})
    return Patch(nothing, nothing, scale, np.zeros(scale.shape, np.int32), info)
