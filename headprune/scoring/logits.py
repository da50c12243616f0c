"""Scoring without text: every head's variant is asked what it thinks of the unchanged model's caption.

The work comes in units, the variants of one layer on one batch of pictures, which are always the same whatever was
done before: numbers are not rounded to words here, and a run that goes on must end in the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from headprune.hooks.kinds import LogitScorer
from headprune.patch.patch import Array
from headprune.scoring.contexts import Contexts
from headprune.scoring.importance import scored_tensor
from headprune.scoring.statistics import Floats
from headprune.scoring.sweep import SweepPlan, layer_variants
from headprune.scoring.work import Scores, Work
from headprune.towers.adapter import TeacherForced
from headprune.towers.batches import UNCHANGED, Key, Pictures, chunks, logit_batch, prepared, replayed_rows
from headprune.towers.memory import Room
from headprune.types import Form, LogitRows, Sample


def logit_importances(
    work: Work, scorer: LogitScorer, stage: str, layers: tuple[int, ...], coefficients: Array
) -> Floats:
    """Importance of each head on each sample, [m, len(layers), H]; NaN where a layer has no such head.

    The score of a variant where the edit keeps the head; where it removes it, the drop from the unchanged model's
    score against itself. Variants run on a model scaled by `coefficients`; what they are compared with, and the
    captions of it that `work` has made, are the unchanged model's.
    """
    geometry = work.adapter.geometry
    batch = logit_batch(work.adapter, work.settings.generation, work.settings.batch)
    plan = work.plan(layers, work.references(layers), batch)
    wanted = [key for sample in work.samples for key in plan.keys(sample.id, geometry.heads_in)]
    forcing = _Forcing(work, scorer, plan, coefficients)
    scores = work.make_scores(stage, wanted, coefficients, forcing.run)
    values = np.full((len(work.samples), len(layers), geometry.heads), np.nan)
    for row, sample in enumerate(work.samples):
        for column, layer in enumerate(layers):
            there = [scores[sample.id, layer, head] for head in range(geometry.heads_in[layer])]
            values[row, column, : len(there)] = there
    if not work.settings.edit.removes:
        return values
    unchanged = [
        [[scores[sample.id, work.reference_of[layer], UNCHANGED]] for layer in layers] for sample in work.samples
    ]
    dropped: Floats = np.array(unchanged) - values
    return dropped


class _Forcing:
    """Teacher-forces the variants of a plan, unit by unit."""

    def __init__(self, work: Work, scorer: LogitScorer, plan: SweepPlan, coefficients: Array) -> None:
        self._work = work
        self._adapter = work.adapter
        self._scorer = scorer
        self._plan = plan
        self._coefficients = coefficients
        self._replayed = Room(replayed_rows(plan.batch, work.adapter.device), "variants")
        self._forced_at_once = Room(plan.batch.rows, "captions")

    @torch.no_grad()
    def run(self, known: Mapping[Key, float], deliver: Callable[[Scores], None]) -> None:
        """Score every unit that is not known as a whole."""
        work, plan = self._work, self._plan
        with work.changed(self._coefficients):
            contexts = Contexts(self._adapter, work.samples, plan.layers, plan.edit, plan.batch)
        for some in chunks(work.samples, contexts.batch.pictures):
            if not self._due(some, known):
                continue
            for pictures in prepared(self._adapter, some):
                self._pictures(pictures, self._due(pictures.samples, known), contexts, deliver)

    def _due(self, some: Sequence[Sample], known: Mapping[Key, float]) -> list[int]:
        return [layer for layer in self._plan.layers if any(key not in known for key in self._unit(some, layer))]

    def _unit(self, some: Sequence[Sample], layer: int) -> list[Key]:
        heads = (UNCHANGED, *range(self._adapter.geometry.heads_in[layer]))
        at = self._work.reference_of[layer]
        return [(sample.id, at if head == UNCHANGED else layer, head) for sample in some for head in heads]

    def _pictures(
        self,
        pictures: Pictures,
        due: Sequence[int],
        contexts: Contexts,
        deliver: Callable[[Scores], None],
    ) -> None:
        """The units of some pictures of one form."""
        work, adapter, some = self._work, self._adapter, pictures.samples
        depths = [at + 1 for at in work.references(due)]
        pixels, form = pictures.pixels, pictures.form
        ids = [sample.id for sample in some]
        plain = bool((self._coefficients == 1).all())
        captured = [layer for layer in due if layer in contexts.capture]
        unchanged = adapter.trace(pixels, captured if plain else (), depths, form)
        with work.changed(self._coefficients):
            traced = unchanged if plain or not captured else adapter.trace(pixels, captured, form=form)
            reference_at, reference = -1, None
            for capture, context in contexts.of(pictures, traced, due):
                layer = capture.layer
                at = work.reference_of[layer]
                fresh: Scores = {}
                # One at a time: distributions of a real vocabulary are large.
                if reference is None or at != reference_at:
                    reference_at, reference = at, self._forced(unchanged.states[at + 1], self._said(some, at), form)
                    keys = [(id_, at, UNCHANGED) for id_ in ids]
                    fresh = self._scores(keys, reference, reference, range(len(ids)))
                for keys, states in layer_variants(adapter, capture, ids, self._plan, context, self._replayed):
                    rows = [ids.index(id_) for id_, _, _ in keys]
                    said = self._said([some[row] for row in rows], at)
                    fresh |= self._compared(keys, states, said, reference, rows, form)
                deliver(fresh)

    def _said(self, some: Sequence[Sample], at: int) -> list[str]:
        return [self._work.captions[sample.id, at, UNCHANGED] for sample in some]

    def _forced(self, states: Tensor, said: Sequence[str], form: Form) -> TeacherForced:
        return self._adapter.likelihood(states, said, self._plan.generation, form)

    def _compared(
        self,
        keys: Sequence[Key],
        states: Tensor,
        said: Sequence[str],
        reference: TeacherForced,
        rows: Sequence[int],
        form: Form,
    ) -> Scores:
        """Scores of states [R, T, n*d], as many rows at a time as memory holds the distributions of."""

        def some(start: int, stop: int) -> Scores:
            forced = self._forced(states[start:stop], said[start:stop], form)
            return self._scores(keys[start:stop], forced, reference, rows[start:stop])

        found: Scores = {}
        for _, _, scores in self._forced_at_once.pieces(len(keys), some):
            found |= scores
        return found

    def _scores(
        self, keys: Sequence[Key], changed: TeacherForced, reference: TeacherForced, rows: Sequence[int]
    ) -> Scores:
        """Scores of `changed`, row r of which belongs to keys[r] and is a variant of row rows[r] of `reference`."""
        # The longest caption may be among the others.
        unchanged = reference.log_probs[list(rows), : changed.tokens.shape[1]]
        given = LogitRows(changed.log_probs, unchanged, changed.tokens, changed.mask)
        found = scored_tensor(self._scorer, given, (len(keys),))
        return dict(zip(keys, found.tolist(), strict=True))
