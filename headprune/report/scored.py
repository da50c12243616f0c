"""A finished `headprune score` run, as a report shows it: importances with intervals, and what was measured of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headprune.evaluation.table1 import Evaluation, Side
from headprune.patch.patch import Patch, ScaleRule
from headprune.patch.prune import PruneRule, choose_pruned
from headprune.report.tables import LIMITS, Row, Table, limits_of
from headprune.scoring.statistics import Floats


@dataclass(frozen=True, slots=True)
class Measured:
    """An evaluation of a patch (table 1): how it was applied, what came of it, by which scorer, and how many samples
    were left out because heads had been weighed on them."""

    scale: ScaleRule
    prune: str | None
    evaluation: Evaluation
    excluded: int
    scorer: str


@dataclass(frozen=True, slots=True)
class Scored:
    """A score run.

    Attributes:
        folder: the run's.
        patch: what it made.
        low, high: [L, H], 95 % limits of the importances; NaN where the patch's are.
        measured: what was measured of the patch.
        rule: which heads are to be marked as pruned; None: by each evaluation's own rule.
    """

    folder: Path
    patch: Patch
    low: Floats
    high: Floats
    measured: tuple[Measured, ...]
    rule: str | None = None

    def rules(self) -> list[str]:
        """The rules by which heads are marked."""
        if self.rule:
            return [self.rule]
        return list(dict.fromkeys(one.prune for one in self.measured if one.prune))

    def pruned(self, rule: str) -> NDArray[np.bool_]:
        """The heads that `rule` prunes, [L, H]."""
        return choose_pruned(self.patch, PruneRule.parse(rule))

    def heads_in(self, layer: int) -> int:
        """How many heads a layer has."""
        return self.patch.info.model.geometry.heads_in[layer]


def tables(scored: Scored) -> Iterator[Table]:
    """`importance` of each head, and which rules prune it; `table1`, a row a side of each evaluation."""
    rules = {rule: scored.pruned(rule) for rule in scored.rules()}
    patch = scored.patch
    rows: list[Row] = []
    for layer in patch.scored:
        for head in range(scored.heads_in(layer)):
            at = (layer, head)
            numbers = (patch.importance[at], scored.low[at], scored.high[at], patch.alpha[at], patch.scale[at])
            pruned = ("pruned" if chosen[at] else "kept" for chosen in rules.values())
            rows.append((layer, head, *map(float, numbers), int(patch.samples[at]), *pruned))
    columns = ("layer", "head", "importance", "low", "high", "alpha", "scale (H*alpha)", "samples", *rules)
    yield Table("importance", "importance of each head with 95 % limits", columns, tuple(rows), 2)
    if scored.measured:
        yield table1(scored.measured)


def table1(measured: tuple[Measured, ...]) -> Table:
    """Before and after each change, and their difference."""
    columns = (
        "scale",
        "pruning rule",
        "model",
        "scorer",
        *LIMITS,
        *(f"convergence layer {limit}" for limit in LIMITS),
        "parameters",
        "ms an image",
        "pictures",
    )
    rows = tuple(row for one in measured for row in _sides(one))
    return Table("table1", "before and after a patch, on samples that no head was weighed on", columns, rows, 4)


def _sides(one: Measured) -> Iterator[Row]:
    how, found = (one.scale, one.prune or "none"), one.evaluation
    yield *how, "before", one.scorer, *_side(found.before), found.samples
    if found.after:
        yield *how, "after", one.scorer, *_side(found.after), found.samples
    if found.difference:
        yield *how, "difference", one.scorer, *limits_of(found.difference), *[None] * 5, found.samples


def _side(side: Side) -> Row:
    return (*limits_of(side.score), *limits_of(side.convergence_layer), side.parameters, 1000 * side.seconds_per_image)
