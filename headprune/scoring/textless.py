"""Importances without a caption a head: from likelihoods of the unchanged model's captions, and from derivatives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headprune.patch.patch import Array
from headprune.scoring.engine import Kind, Task
from headprune.scoring.stages import CAPTIONS, GRADIENTS
from headprune.scoring.statistics import Floats
from headprune.scoring.work import Scores, Work
from headprune.towers.batches import UNCHANGED, Key, chunks
from headprune.types import Sample


def logit_importances(work: Work, stage: str, layers: tuple[int, ...], coefficients: Array) -> Floats:
    """Importance of each head on each sample, [m, len(layers), H]; NaN where a layer has no such head.

    The score of a variant where the edit keeps the head; where it removes it, the drop from the unchanged model's
    score against itself. Variants run on a model scaled by `coefficients`; what they are compared with, and the
    captions of it that `work` has made, are the unchanged model's.
    """

    def unit(some: Sequence[Sample], layer: int) -> list[Key]:
        """What is always computed together: the variants of one layer on pictures that go together."""
        heads = range(work.geometry.heads_in[layer])
        return [
            key
            for sample in some
            for key in ((sample.id, work.reference_of[layer], UNCHANGED), *((sample.id, layer, head) for head in heads))
        ]

    def tasks(known: Scores) -> list[Task]:
        due = []
        for some in chunks(work.samples, work.pictures(Kind.LIKELIHOODS)):
            todo = tuple(layer for layer in layers if any(key not in known for key in unit(some, layer)))
            if todo:
                said = work.said(some, work.references(todo))
                ids = tuple(sample.id for sample in some)
                due.append(Task(Kind.LIKELIHOODS, ids, todo, coefficients, said=said))
        return due

    wanted = dict.fromkeys(key for layer in layers for key in unit(work.samples, layer))
    scores = work.make_numbers(stage, [*wanted], coefficients, tasks)
    values = _table(work, layers, scores)
    if not work.settings.edit.removes:
        return values
    unchanged = [
        [[scores[sample.id, work.reference_of[layer], UNCHANGED]] for layer in layers] for sample in work.samples
    ]
    dropped: Floats = np.array(unchanged) - values
    return dropped


def gradient_importances(work: Work, layers: tuple[int, ...], coefficients: Array) -> Floats:
    """Importance of each head on each sample, [m, len(layers), H]; NaN where a layer has no such head.

    From derivatives on the unchanged model, whose captions are made first; `coefficients` are all 1.
    """
    references = work.references(layers)
    work.make_captions(CAPTIONS, (), references, coefficients)
    heads = [(layer, head) for layer in layers for head in range(work.geometry.heads_in[layer])]

    def tasks(known: Scores) -> list[Task]:
        # Pictures that go together are done as a whole, so that a run that goes on computes them as the first would.
        return [
            Task(
                Kind.GRADIENTS,
                tuple(sample.id for sample in some),
                layers,
                coefficients,
                said=work.said(some, references),
            )
            for some in chunks(work.samples, work.pictures(Kind.GRADIENTS))
            if any((sample.id, *head) not in known for sample in some for head in heads)
        ]

    wanted = [(sample.id, *head) for sample in work.samples for head in heads]
    return _table(work, layers, work.make_numbers(GRADIENTS, wanted, coefficients, tasks))


def _table(work: Work, layers: tuple[int, ...], scores: Scores) -> Floats:
    """Scores of heads as [m, len(layers), H]; NaN where a layer has no such head."""
    values = np.full((len(work.samples), len(layers), work.geometry.heads), np.nan)
    for row, sample in enumerate(work.samples):
        for column, layer in enumerate(layers):
            there = [scores[sample.id, layer, head] for head in range(work.geometry.heads_in[layer])]
            values[row, column, : len(there)] = there
    return values
