"""`--prune auto`: how many heads may go before captions of pictures that did not rank them get worse (METHOD.md,
Pruning)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from headprune.errors import UsageError
from headprune.evaluation.captions import captions_under
from headprune.events import Progress
from headprune.hooks.kinds import Scorer
from headprune.patch.patch import Patch, ScaleRule
from headprune.patch.prune import PruneRule, choose_pruned
from headprune.scoring.importance import scored
from headprune.scoring.statistics import mean_interval
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch
from headprune.types import Generation, Interval, Sample, ScoreItem

SHARE = 0.3
"""Of the scored samples, how many validate; the others rank the heads."""
LEAST = 10
"""Validation samples at least: the mean over fewer says nothing. As many must be left to rank heads."""
_STEPS = 20


@dataclass(frozen=True, slots=True)
class AutoSettings:
    """How to search: with which metric, called `scorer_name`, and which drop of it is borne, as a share of the
    metric without pruning. The kept heads are scaled by `scale`."""

    scorer: Scorer
    scorer_name: str
    generation: Generation
    batch: Batch
    scale: ScaleRule = "mean-one"
    max_drop: float = 0.02
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Point:
    """A fraction, how many heads it prunes, the metric on the validation samples, and its difference to fraction 0,
    paired by picture."""

    fraction: float
    heads: int
    score: Interval
    difference: Interval


@dataclass(frozen=True, slots=True)
class AutoPruning:
    """A finished search.

    Attributes:
        fraction: the chosen one; 0 where no other stays within the drop.
        scorer, scale, max_drop: as asked for.
        ranking, validation: how many samples ranked the heads, and how many others were captioned.
        unchanged: the metric of the model as it is; differs from fraction 0 where heads are scaled.
        curve: fraction 0 first, each with more heads than the one before.
    """

    fraction: float
    scorer: str
    scale: ScaleRule
    max_drop: float
    ranking: int
    validation: int
    unchanged: Interval
    curve: tuple[Point, ...]

    @property
    def chosen(self) -> Point:
        """The point of the chosen fraction."""
        return next(point for point in self.curve if point.fraction == self.fraction)

    @property
    def bound(self) -> float:
        """The least mean that is within the drop."""
        return self.curve[0].score.mean - allowed_drop(self.curve, self.max_drop)

    @property
    def rule(self) -> str:
        """The chosen fraction as a pruning rule."""
        return str(PruneRule("fraction", self.fraction))


def validation_size(samples: int) -> int:
    """How many of `samples` scored samples, the last drawn ones, validate: 30 %, at least 10.

    Raises:
        UsageError: fewer than 10 would be left to rank heads.
    """
    size = max(LEAST, round(SHARE * samples))
    if samples - size < LEAST:
        raise UsageError(
            f"--prune auto takes a patch of {2 * LEAST} samples or more, this one has {samples}: "
            f"{LEAST} rank the heads, {LEAST} others validate",
            "score with more --samples, or use --prune fraction=F",
        )
    return size


def candidates(patch: Patch) -> list[tuple[float, NDArray[np.bool_]]]:
    """Fractions from 0 to 1 with the heads that each prunes, [L, H]; each prunes more than the one before.

    One for each number of heads of a layer (of all scored heads, where those compare) up to 20, else twentieths.
    They are rounded as they are shown: the fraction that a user reads prunes the very same number of heads.
    """
    there = patch.info.model.present[patch.scored]
    unit = there.sum() if patch.info.comparable == "across-layers" else there.sum(axis=1).max()
    steps = min(int(unit), _STEPS)
    found: dict[int, tuple[float, NDArray[np.bool_]]] = {}
    for step in range(steps + 1):
        fraction = float(f"{step / steps:.4g}")
        pruned = choose_pruned(patch, PruneRule("fraction", fraction))
        found.setdefault(int(pruned.sum()), (fraction, pruned))
    return list(found.values())


def allowed_drop(curve: Sequence[Point], max_drop: float) -> float:
    """How far the metric may fall from fraction 0, in the metric's own unit."""
    return max_drop * abs(curve[0].score.mean)


def largest_within(curve: Sequence[Point], max_drop: float) -> Point:
    """The largest fraction such that it and every smaller one stay within the drop; fraction 0 always does.

    And every smaller one: the mean over some tens of pictures is noisy, and of twenty fractions one behind the fall
    may come out above the bound by luck. What has once fallen through it is taken to be worse from there on.
    """
    least = -allowed_drop(curve, max_drop)
    return list(takewhile(lambda point: point.difference.mean >= least, curve))[-1]


def search_fraction(
    adapter: Adapter,
    patch: Patch,
    samples: Sequence[Sample],
    settings: AutoSettings,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> AutoPruning:
    """Caption `samples` with each candidate fraction pruned, and choose; the model is unchanged when this returns.

    Args:
        adapter: the model.
        patch: made of other samples than these: it ranks the heads and gives the coefficients.
        samples: the validation samples.
        settings: what to do.
        progress: called as captions come.

    Raises:
        UsageError: the scorer needs gold captions and a sample has none, or the patch has no ranking.
    """
    fractions = candidates(patch)
    tables = [patch.coefficients(settings.scale, pruned) for _, pruned in fractions]
    unchanged = np.ones_like(tables[0])
    scaled = not np.array_equal(tables[0], unchanged)
    asked = [unchanged, *tables] if scaled else tables
    total = len(asked) * len(samples)

    def show(done: int) -> None:
        progress(Progress("validation captions", done, total, len(samples)))

    show(0)
    said = captions_under(adapter, samples, asked, settings.generation, settings.batch, show)
    items = [
        ScoreItem(caption, reference, sample.captions, sample.load, sample.id)
        for row in said
        for caption, reference, sample in zip(row, said[0], samples, strict=True)
    ]
    values = scored(settings.scorer, items).reshape(len(said), len(samples))
    rows = values[1:] if scaled else values
    curve = tuple(
        Point(
            fraction,
            int(pruned.sum()),
            mean_interval(row, settings.seed),
            mean_interval(row - rows[0], settings.seed),
        )
        for (fraction, pruned), row in zip(fractions, rows, strict=True)
    )
    return AutoPruning(
        fraction=largest_within(curve, settings.max_drop).fraction,
        scorer=settings.scorer_name,
        scale=settings.scale,
        max_drop=settings.max_drop,
        ranking=len(patch.info.sample_ids),
        validation=len(samples),
        unchanged=mean_interval(values[0], settings.seed),
        curve=curve,
    )
