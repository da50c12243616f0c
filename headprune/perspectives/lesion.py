"""Lesions (section 4.2): what the model says when a layer's attention, or its residual stream, is a mean."""

from __future__ import annotations

from dataclasses import dataclass

from headprune.scoring.statistics import Floats
from headprune.types import Interval


@dataclass(frozen=True, slots=True)
class Lesioned:
    """What came of lesioning P places, each one or more layers at once, in every way.

    Attributes:
        places: [P][layers], 0-based: the layers that are lesioned at once.
        captions: [lesions][P][n], what the model says, decoded at the last layer.
        scores: [lesions, P, n], of each caption against the one without a lesion; of a scorer that needs gold captions,
            against gold.
        intervals: [lesions][P], mean of the scores over samples, with its bootstrap interval.
    """

    places: tuple[tuple[int, ...], ...]
    captions: tuple[tuple[tuple[str, ...], ...], ...]
    scores: Floats
    intervals: tuple[tuple[Interval, ...], ...]


@dataclass(frozen=True, slots=True)
class Lesions:
    """The lesion experiments of one model (METHOD.md, Lesion experiments; figure 2).

    Attributes:
        lesions: names of the lesions, `mean-input` and `confuse`; the first axis of what follows.
        samples: [n], ids.
        unchanged: [n], captions without a lesion.
        alone: each layer by itself; its places are one layer each.
        together: ranges of layers at once; empty where none was asked for.
        unchanged_scores: [n], of the captions without a lesion against gold, for scorers that need gold; else None,
            as they are then what all others are compared with.
        unchanged_interval: their mean.
        per_token: whether the means are one for each token position, or one for all tokens.
        mean_samples: pictures that the means were taken over.
    """

    lesions: tuple[str, ...]
    samples: tuple[str, ...]
    unchanged: tuple[str, ...]
    alone: Lesioned
    together: Lesioned
    unchanged_scores: Floats | None
    unchanged_interval: Interval | None
    per_token: bool
    mean_samples: int
