"""Layers by heads: the importance of each head with its interval, and which heads are pruned."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headprune.patch.patch import Array
from headprune.report.encode import is_light, shade
from headprune.report.scored import Scored


@dataclass(frozen=True, slots=True)
class HeadCell:
    """A head as a cell: its numbers, its colour, whether black is read better on it, and whether it is pruned."""

    head: int
    importance: float
    low: float
    high: float
    share: float
    colour: str
    light: bool
    pruned: bool


@dataclass(frozen=True, slots=True)
class HeadTable:
    """Layers by heads, under one pruning rule or none.

    `rows` hold (layer, cells); None is a head that a sliced layer does not have. The colours go from `low` to `high`
    of `quantity`; importances are told apart by `digits` behind the point.
    """

    rule: str | None
    heads: int
    rows: tuple[tuple[int, tuple[HeadCell | None, ...]], ...]
    quantity: str
    low: float
    high: float
    digits: int
    shades: tuple[str, ...]
    pruned: int
    total: int


def head_tables(scored: Scored) -> Iterator[HeadTable]:
    """A table for each rule by which heads are pruned; one without marks where there is none."""
    patch = scored.patch
    across = patch.info.comparable == "across-layers"
    # What may be compared between layers, METHOD.md, Pruning: the colours follow it.
    shown = patch.importance if across else patch.scale
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    span = high - low or 1.0
    rules: list[str | None] = [*scored.rules()]
    for rule in rules or [None]:
        pruned = scored.pruned(rule) if rule else np.zeros(shown.shape, bool)
        rows = tuple((layer, tuple(_cells(scored, layer, (shown - low) / span, pruned))) for layer in patch.scored)
        yield HeadTable(
            rule,
            shown.shape[1],
            rows,
            "importance" if across else "H*alpha",
            low,
            high,
            _digits(patch.importance),
            tuple(shade(step / 8) for step in range(9)),
            int(pruned.sum()),
            int(np.isfinite(patch.scale).sum()),
        )


def _digits(importance: Array) -> int:
    """How many digits behind the point tell importances apart: two of their range."""
    span = float(np.nanmax(importance) - np.nanmin(importance))
    return min(max(2, 2 - math.floor(math.log10(span))), 6) if span > 0 else 2


def _cells(scored: Scored, layer: int, parts: Array, pruned: NDArray[np.bool_]) -> Iterator[HeadCell | None]:
    """A layer's heads; `parts`, [L, H], says where in the range of the colours each is."""
    patch = scored.patch
    for head in range(parts.shape[1]):
        if head >= scored.heads_in(layer):
            yield None
            continue
        at = (layer, head)
        yield HeadCell(
            head,
            importance=float(patch.importance[at]),
            low=float(scored.low[at]),
            high=float(scored.high[at]),
            share=float(patch.scale[at]),
            colour=shade(float(parts[at])),
            light=is_light(float(parts[at])),
            pruned=bool(pruned[at]),
        )
