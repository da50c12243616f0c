"""Layers by heads: the importance of each head with its interval, and which heads are pruned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

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
    of `quantity`.
    """

    rule: str | None
    heads: int
    rows: tuple[tuple[int, tuple[HeadCell | None, ...]], ...]
    quantity: str
    low: float
    high: float
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
    for rule in scored.rules() or [None]:
        pruned = scored.pruned(rule) if rule else np.zeros(shown.shape, bool)

        def cell(layer: int, head: int, pruned: np.ndarray = pruned) -> HeadCell:
            at = (layer, head)
            part = (float(shown[at]) - low) / span
            numbers = (patch.importance[at], scored.low[at], scored.high[at], patch.scale[at])
            return HeadCell(head, *map(float, numbers), shade(part), is_light(part), bool(pruned[at]))

        rows = tuple(
            (
                layer,
                tuple(cell(layer, head) if head < scored.heads_in(layer) else None for head in range(shown.shape[1])),
            )
            for layer in patch.scored
        )
        yield HeadTable(
            rule,
            shown.shape[1],
            rows,
            "importance" if across else "H*alpha",
            low,
            high,
            tuple(shade(step / 8) for step in range(9)),
            int(pruned.sum()),
            int(np.isfinite(patch.scale).sum()),
        )
