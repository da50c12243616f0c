"""Table 1: a model before and after a patch, on samples that were not used for scoring."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from headprune.evaluation.captions import captions_under
from headprune.evaluation.control import random_controls
from headprune.hooks.kinds import Scorer
from headprune.patch.apply import applied
from headprune.patch.patch import Array
from headprune.perspectives.convergence import Convergence, convergence_layers
from headprune.perspectives.linguistic import captions_by_layer
from headprune.scoring.importance import scored
from headprune.scoring.statistics import Floats, mean_interval
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, Decoder, Pictures, chunks, prepared, told_of
from headprune.towers.memory import Room
from headprune.types import Generation, Interval, Sample, ScoreItem


@dataclass(frozen=True, slots=True)
class Change:
    """What is evaluated: coefficients [L, H] and, for the control, how they came about.

    `kept` are the coefficients before pruning, `pruned` the silenced heads, `there` the heads that the tower has,
    `layers` the scored layers, `across` whether the heads were chosen over all layers.
    """

    coefficients: Array
    kept: Array
    pruned: NDArray[np.bool_]
    there: NDArray[np.bool_]
    layers: list[int]
    across: bool


@dataclass(frozen=True, slots=True)
class EvaluateSettings:
    """How to evaluate; `random` is the number of random head sets in the control."""

    scorer: Scorer
    generation: Generation
    batch: Batch
    convergence: Convergence | None = None
    random: int = 10
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Side:
    """One row of table 1: `score` and `convergence_layer` (0-based) over images, parameters of the whole model, and
    measured seconds an image (tower and words, without opening the picture)."""

    score: Interval
    convergence_layer: Interval | None
    parameters: int
    seconds_per_image: float


@dataclass(frozen=True, slots=True)
class Control:
    """The scores of random head sets of the same size, and how many of them the patch beats."""

    scores: tuple[float, ...]
    beaten: int

    @property
    def better_than_chance(self) -> bool:
        """Whether the patch beats at least 95 % of the random sets."""
        return self.beaten >= 0.95 * len(self.scores)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Table 1. `difference` is after minus before, paired by image; None without a patch, as `after` and `control`."""

    samples: int
    before: Side
    after: Side | None = None
    difference: Interval | None = None
    control: Control | None = None


def evaluate_model(
    adapter: Adapter,
    samples: Sequence[Sample],
    settings: EvaluateSettings,
    change: Change | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Evaluation:
    """Evaluate `adapter` on `samples`, and again with `change` applied; the model is unchanged when this returns.

    Raises:
        UsageError: the scorer needs gold captions and a sample has none.
    """
    progress(f"{len(samples)} samples, before")
    # The first batch warms caches and kernels; it is not measured.
    _timed_captions(adapter, samples[: settings.batch.pictures], settings)
    said, before_values, before = _side(adapter, samples, settings, None, None)
    if change is None:
        return Evaluation(len(samples), before)
    progress(f"{len(samples)} samples, after")
    _, after_values, after = _side(adapter, samples, settings, change.coefficients, said)
    control = None
    if settings.random:
        progress(f"{len(samples)} samples, {settings.random} random head sets")
        controls = random_controls(
            change.kept, change.pruned, change.there, change.layers, change.across, settings.random, settings.seed
        )
        drawn = captions_under(adapter, samples, list(controls), settings.generation, settings.batch)
        scores = [float(_score(captions, said, samples, settings).mean()) for captions in drawn]
        control = Control(tuple(scores), sum(after.score.mean > score for score in scores))
    difference = mean_interval(after_values - before_values, settings.seed)
    return Evaluation(len(samples), before, after, difference, control)


def _side(
    adapter: Adapter,
    samples: Sequence[Sample],
    settings: EvaluateSettings,
    s: Array | None,
    unchanged: list[str] | None,
) -> tuple[list[str], Floats, Side]:
    """Captions, scores [n] and the row of one side."""
    with nullcontext() if s is None else applied(adapter, s):
        captions, seconds = _timed_captions(adapter, samples, settings)
        layers = None
        if settings.convergence:
            earlier = range(adapter.geometry.live - 1)
            said = captions_by_layer(adapter, samples, earlier, settings.generation, settings.batch)
            rows = [[*row, last] for row, last in zip(said, captions, strict=True)]
            found = convergence_layers(rows, settings.convergence.scorer, settings.convergence.tau)
            layers = mean_interval(found, settings.seed)
    values = _score(captions, unchanged or captions, samples, settings)
    side = Side(mean_interval(values, settings.seed), layers, adapter.parameter_count(), seconds / len(samples))
    return captions, values, side


def _score(
    captions: Sequence[str], unchanged: Sequence[str], samples: Sequence[Sample], settings: EvaluateSettings
) -> Floats:
    items = [
        ScoreItem(caption, reference, sample.captions, sample.load, sample.id)
        for caption, reference, sample in zip(captions, unchanged, samples, strict=True)
    ]
    return scored(settings.scorer, items)


def _timed_captions(adapter: Adapter, samples: Sequence[Sample], settings: EvaluateSettings) -> tuple[list[str], float]:
    """Captions at the last layer, and the seconds that tower and decoding took."""
    found: dict[str, str] = {}
    seconds = 0.0
    decoder, room = Decoder(adapter, settings.generation, settings.batch), Room(settings.batch.pictures, "pictures")

    def said(pictures: Pictures, start: int, stop: int) -> list[str]:
        with told_of([sample.id for sample in pictures.samples[start:stop]]):
            return decoder.decode(adapter.last_states(pictures.pixels[start:stop], pictures.form), pictures.form)

    for some in chunks(samples, settings.batch.pictures):
        # Not ahead, as elsewhere: nothing else runs while this is timed.
        for pictures in prepared(adapter, some):
            begun = _now(adapter)
            for start, stop, words in room.pieces(len(pictures.samples), partial(said, pictures)):
                found |= zip([sample.id for sample in pictures.samples[start:stop]], words, strict=True)
            seconds += _now(adapter) - begun
    return [found[sample.id] for sample in samples], seconds


def _now(adapter: Adapter) -> float:
    """Seconds, once the device has done what was asked of it."""
    if adapter.device.type == "cuda":
        torch.cuda.synchronize(adapter.device)
    return time.perf_counter()
