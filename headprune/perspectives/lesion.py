"""Lesions (section 4.2): what the model says when a layer's attention, or its residual stream, is a mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor

from headprune.edits.lesions import LESIONS
from headprune.errors import UsageError
from headprune.hooks.kinds import Scorer
from headprune.perspectives.lesioner import Lesioner
from headprune.perspectives.means import InputMeans
from headprune.scoring.importance import scored
from headprune.scoring.statistics import Floats, mean_interval
from headprune.towers.adapter import Adapter
from headprune.towers.batches import UNCHANGED, Batch, DecodeQueue, Decoder, Key, replayed_rows, traces
from headprune.towers.capture import Trace
from headprune.towers.memory import Room
from headprune.types import Generation, Interval, Sample, ScoreItem


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


def lesion_layers(
    adapter: Adapter,
    samples: Sequence[Sample],
    layers: Sequence[int],
    means: InputMeans,
    scorer: Scorer,
    generation: Generation,
    batch: Batch,
    lesions: Sequence[str] = tuple(LESIONS),
    together: Sequence[Sequence[int]] = (),
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Lesions:
    """Lesion each of `layers` alone, and the layers of each of `together` at once; the model is unchanged afterwards.

    One tower pass a picture. What a layer makes of its mean input is the same for all pictures of a form, and is asked
    once; the words of many layers, lesions and pictures are generated together.

    Args:
        layers: 0-based, of the live ones.
        means: of the unchanged model, of all these layers (`mean_inputs`); of this or another dataset.
        scorer: compares each caption with the one without a lesion; or with gold, when it needs gold.
        lesions: names in `headprune.edits.lesions.LESIONS`.
        together: each, too, 0-based and live; sorted.
        seed: of the bootstrap.
        progress: called with the number of pictures done.

    Raises:
        UsageError: a lesion's name is unknown, means per token position do not fit a picture's size, or the scorer
            needs gold captions and a sample has none.
    """
    unknown = next((name for name in lesions if name not in LESIONS), None)
    if unknown is not None:
        raise UsageError(f"no lesion called {unknown!r}", f"there are {', '.join(LESIONS)}")
    places = [*((layer,) for layer in layers), *map(tuple, together)]
    said = _captions(adapter, samples, places, lesions, means, generation, batch, progress)
    unchanged = [said[sample.id, UNCHANGED, UNCHANGED] for sample in samples]

    def lesioned(chosen: range) -> Lesioned:
        captions = tuple(
            tuple(tuple(said[sample.id, place, number] for sample in samples) for place in chosen)
            for number in range(len(lesions))
        )
        scores = _scores(scorer, samples, captions, unchanged)
        intervals = tuple(tuple(mean_interval(values, seed) for values in row) for row in scores)
        return Lesioned(tuple(places[place] for place in chosen), captions, scores, intervals)

    unlesioned = _scores(scorer, samples, ((unchanged,),), unchanged)[0, 0] if not scorer.compares else None
    return Lesions(
        lesions=tuple(lesions),
        samples=tuple(sample.id for sample in samples),
        unchanged=tuple(unchanged),
        alone=lesioned(range(len(layers))),
        together=lesioned(range(len(layers), len(places))),
        unchanged_scores=unlesioned,
        unchanged_interval=None if unlesioned is None else mean_interval(unlesioned, seed),
        per_token=means.per_token,
        mean_samples=means.samples,
    )


def _scores(
    scorer: Scorer, samples: Sequence[Sample], captions: Sequence[Sequence[Sequence[str]]], unchanged: Sequence[str]
) -> Floats:
    """Scores of captions [lesions][P][n], [lesions, P, n]."""
    items = [
        ScoreItem(caption, reference, sample.captions, sample.load, sample.id)
        for row in captions
        for said in row
        for caption, reference, sample in zip(said, unchanged, samples, strict=True)
    ]
    return scored(scorer, items).reshape(len(captions), -1, len(samples)) if items else np.zeros((len(captions), 0, 0))


def _captions(
    adapter: Adapter,
    samples: Sequence[Sample],
    places: Sequence[tuple[int, ...]],
    lesions: Sequence[str],
    means: InputMeans,
    generation: Generation,
    batch: Batch,
    progress: Callable[[int], None],
) -> dict[Key, str]:
    """Captions by (sample, place, lesion), both as numbers; of the unchanged model by (sample, -1, -1)."""
    said: dict[Key, str] = {}
    queue = DecodeQueue(Decoder(adapter, generation, batch), said.__setitem__)
    room = Room(replayed_rows(batch, adapter.device), "lesions")
    layers = sorted({layer for place in places for layer in place})
    lesioner = Lesioner(adapter, means)
    last = adapter.geometry.layers
    done = 0
    for some, traced in traces(adapter, samples, batch, layers, [last]):
        ids = [sample.id for sample in some.samples]
        queue.put([(id_, UNCHANGED, UNCHANGED) for id_ in ids], traced.states[last], traced.form)
        for number, place in enumerate(places):
            states_of = partial(_some_lesions, lesioner, traced, place, lesions)
            for start, stop, states in room.pieces(len(lesions), states_of, len(ids)):
                queue.put([(id_, number, which) for which in range(start, stop) for id_ in ids], states, traced.form)
        done += len(ids)
        progress(done)
    queue.flush()
    return said


def _some_lesions(
    lesioner: Lesioner, traced: Trace, place: tuple[int, ...], lesions: Sequence[str], start: int, stop: int
) -> Tensor:
    return lesioner.states(traced, place, lesions[start:stop])
