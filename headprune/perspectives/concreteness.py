"""From abstract to concrete (section 4.4): how specific what the layers say becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from headprune.errors import PluginError
from headprune.hooks.blame import blaming
from headprune.hooks.kinds import LayerRater, Scorer
from headprune.perspectives.linguistic import captions_by_layer
from headprune.scoring.importance import check_gold, scored
from headprune.scoring.statistics import Floats, mean_intervals
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch
from headprune.types import Generation, Interval, RateItem, Sample, ScoreItem


@dataclass(frozen=True, slots=True)
class Concreteness:
    """How concrete the captions of some layers are (METHOD.md, Abstract to concrete; figure 5).

    Attributes:
        samples: ids of the n pictures.
        layers: the rated ones, 0-based.
        captions: D(Z[l]), [n][layers].
        references: [n], what a scorer that compares captions was given to compare with: what the whole model says.
        criteria: what was rated; of a scorer that gives a caption one number, that scorer alone.
        ratings: [n, layers, criteria], 1 to 5; of such a scorer its numbers, higher is better.
        scores: the mean of the criteria, [n, layers].
        score: each layer's mean score over the pictures with its 95 % bootstrap interval, [layers].
        by_criterion: the same of each criterion alone, [criteria][layers].
    """

    samples: tuple[str, ...]
    layers: tuple[int, ...]
    captions: tuple[tuple[str, ...], ...]
    references: tuple[str, ...]
    criteria: tuple[str, ...]
    ratings: Floats
    scores: Floats
    score: tuple[Interval, ...]
    by_criterion: tuple[tuple[Interval, ...], ...]


def how_concrete(
    adapter: Adapter,
    samples: Sequence[Sample],
    layers: Sequence[int],
    scorer: Scorer,
    generation: Generation,
    batch: Batch,
    seed: int = 0,
    progress: Callable[[str], None] = lambda stage: None,
    references: Sequence[str] | None = None,
) -> Concreteness:
    """Rate what the model would say after each of `layers`.

    Args:
        layers: 0-based, in the order in which they are to be shown.
        scorer: a LayerRater sees a picture's captions together; any other scorer compares each with the caption of the
            last layer. One that needs gold captions has been fitted.
        seed: of the bootstrap.
        progress: called with the stage.
        references: [n], of another model: then its words are what captions are compared with.

    Raises:
        PluginError: the scorer returned ratings of another shape, or ones that are not from 1 to 5.
        UsageError: the scorer needs gold captions and a sample has none.
    """
    last = adapter.geometry.live - 1
    progress(f"captions of {len(layers)} layers, {len(samples)} samples")
    spoken = sorted({*layers, last})
    said = [
        dict(zip(spoken, row, strict=True)) for row in captions_by_layer(adapter, samples, spoken, generation, batch)
    ]
    references = tuple(references or (row[last] for row in said))
    captions = tuple(tuple(row[layer] for layer in layers) for row in said)
    progress(f"ratings by {type(scorer).__name__}, {len(samples)} samples")
    if isinstance(scorer, LayerRater):
        criteria = type(scorer).criteria
        items = [
            RateItem(row, tuple(layers), reference, sample.captions, sample.load, sample.id)
            for sample, row, reference in zip(samples, captions, references, strict=True)
        ]
        ratings = rated(scorer, items)
    else:
        criteria = (type(scorer).__name__,)
        ratings = _scored_alone(scorer, samples, layers, captions, references)
    ids = tuple(sample.id for sample in samples)
    return _summed_up(ids, tuple(layers), captions, references, criteria, ratings, seed)


def rated(rater: LayerRater, items: Sequence[RateItem]) -> Floats:
    """Ratings of `items`, which have equally many captions, [n, layers, criteria]; checked."""
    check_gold(rater, items)
    name = type(rater).__name__
    with blaming(f"scorer {name}", rater):
        found = rater.rate(items)
        shape = (len(items), len(items[0].captions) if items else 0, len(rater.criteria))
        # Ragged lists are no array: numpy would say so in its own words.
        if len(found) != shape[0] or any(
            len(one) != shape[1] or any(len(row) != shape[2] for row in one) for one in found
        ):
            raise PluginError(
                f"scorer {name} returned ratings that are not [{shape[0]}][{shape[1]}][{shape[2]}]",
                "one number per picture, layer and criterion, in order",
            )
        values = np.array(found, dtype=np.float64).reshape(shape)
    # NaN is outside as well.
    outside = ~((values >= 1) & (values <= 5)).all(axis=(1, 2))
    if outside.any():
        bad = items[int(np.flatnonzero(outside)[0])].sample
        raise PluginError(
            f"scorer {name} returned a rating of sample {bad} that is not from 1 to 5", "rate from 1 to 5"
        )
    return values


def _scored_alone(
    scorer: Scorer,
    samples: Sequence[Sample],
    layers: Sequence[int],
    captions: Sequence[Sequence[str]],
    references: Sequence[str],
) -> Floats:
    """Scores of each caption by itself, [n, layers, 1]."""
    items = [
        ScoreItem(caption, reference, sample.captions, sample.load, sample.id, layer)
        for sample, row, reference in zip(samples, captions, references, strict=True)
        for layer, caption in zip(layers, row, strict=True)
    ]
    values: Floats = scored(scorer, items).reshape(len(samples), len(layers), 1)
    return values


def _summed_up(
    samples: tuple[str, ...],
    layers: tuple[int, ...],
    captions: tuple[tuple[str, ...], ...],
    references: tuple[str, ...],
    criteria: tuple[str, ...],
    ratings: Floats,
    seed: int,
) -> Concreteness:
    scores: Floats = ratings.mean(axis=2)
    return Concreteness(
        samples,
        layers,
        captions,
        references,
        criteria,
        ratings,
        scores,
        mean_intervals(scores, seed),
        tuple(mean_intervals(ratings[:, :, column], seed) for column in range(len(criteria))),
    )
