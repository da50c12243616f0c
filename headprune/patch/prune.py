"""Which heads count as low (METHOD.md, Pruning)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headprune.errors import UsageError
from headprune.patch.patch import Array, Patch, present
from headprune.types import Geometry

_FORMS = "count=K, fraction=F or threshold=T"


@dataclass(frozen=True, slots=True)
class PruneRule:
    """`count=K` heads of every scored layer, `fraction=F` of the heads, or those with H*alpha below `threshold=T`."""

    kind: Literal["count", "fraction", "threshold"]
    value: float

    @classmethod
    def parse(cls, text: str) -> PruneRule:
        """Read a rule as typed.

        Raises:
            UsageError: not one of the forms, or a value that makes no sense.
        """
        kind, _, value = text.partition("=")
        if text == "auto":
            raise UsageError(
                "--prune auto is for headprune apply, which searches the fraction",
                f"give the fraction it found: {_FORMS}",
            )
        try:
            number = float(value)
        except ValueError:
            raise UsageError(f"--prune {text!r} is no rule", f"use {_FORMS}") from None
        if kind == "count" and number >= 0 and number == int(number):
            return cls("count", number)
        if kind == "fraction" and 0 <= number <= 1:
            return cls("fraction", number)
        if kind == "threshold" and number >= 0:
            return cls("threshold", number)
        raise UsageError(f"--prune {text!r} is no rule", f"use {_FORMS}: K a whole number, F from 0 to 1, T at least 0")

    def __str__(self) -> str:
        return f"{self.kind}={self.value:g}"


def choose_pruned(patch: Patch, rule: PruneRule) -> NDArray[np.bool_]:
    """The heads to silence, [L, H]; none in a layer that was not scored. Ties go to the lower layer, then head.

    A fraction is taken within each layer by alpha where the edit's importances compare within a layer only, and over
    all scored heads by raw importance where they compare across layers.

    Raises:
        UsageError: more heads than a layer has, or a composed patch, which has no ranking.
    """
    layers, heads = patch.scored, patch.info.model.heads
    there = patch.info.model.present[layers]
    if not np.isfinite(patch.importance[layers][there]).all():
        raise UsageError("a composed patch has no importances to choose heads by", "prune one of its parents")
    pruned = np.zeros(patch.scale.shape, dtype=bool)
    if rule.kind == "threshold":
        pruned[layers] = there.sum(axis=1, keepdims=True) * patch.alpha[layers] < rule.value
    elif rule.kind == "fraction" and patch.info.comparable == "across-layers":
        # Heads that are not there are NaN, which sorts last.
        lowest = np.argsort(patch.importance[layers], axis=None, kind="stable")[: round(rule.value * there.sum())]
        rows, columns = np.unravel_index(lowest, (len(layers), heads))
        pruned[np.asarray(layers, dtype=int)[rows], columns] = True
    else:
        if rule.kind == "count" and rule.value > heads:
            raise UsageError(f"--prune {rule} takes more heads than the {heads} a layer has", "ask for fewer")
        for layer, count in zip(layers, there.sum(axis=1), strict=True):
            each = min(int(rule.value), count) if rule.kind == "count" else round(rule.value * count)
            pruned[layer, np.argsort(patch.alpha[layer], kind="stable")[:each]] = True
    return pruned


def silent(geometry: Geometry, coefficients: Array) -> NDArray[np.bool_]:
    """The heads of a tower that coefficients [L, H] silence, [L, H]."""
    found: NDArray[np.bool_] = (coefficients == 0) & present(geometry)
    return found


def head_list(pruned: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[(layer, head), ...], 0-based, in order."""
    return [(int(layer), int(head)) for layer, head in np.argwhere(pruned)]
