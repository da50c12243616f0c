"""Scoring without text: every head's variant is asked what it thinks of the unchanged model's caption.

The work comes in units, the variants of one layer on one batch of pictures, which are always the same whatever was
done before: numbers are not rounded to words here, and a run that goes on must end in the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from headprune.hooks.kinds import LogitScorer
from headprune.patch.apply import scaled
from headprune.patch.patch import Array
from headprune.scoring.contexts import Contexts
from headprune.scoring.importance import scored_tensor
from headprune.scoring.sweep import SweepPlan, check_finite, layer_variants, variants_at_once
from headprune.towers.adapter import TeacherForced
from headprune.towers.batches import UNCHANGED, Key, Pictures, prepared
from headprune.towers.memory import Room
from headprune.types import Form, LogitRows, Sample

Scores = dict[Key, float]


class Forcing:
    """Teacher-forces the variants of a plan's layers.

    Args:
        contexts: of the run's samples, on the model as it is scaled.
        plan: what to do; its references play no part.
        reference_of: for each of its layers, at which layer the unchanged model speaks.
        scorer: compares distributions.
        coefficients: [L, H], what the heads of the model are scaled by.
    """

    def __init__(
        self,
        contexts: Contexts,
        plan: SweepPlan,
        reference_of: Mapping[int, int],
        scorer: LogitScorer,
        coefficients: Array,
    ) -> None:
        self._adapter = contexts.adapter
        self._contexts = contexts
        self._scorer = scorer
        self._plan = plan
        self._reference_of = reference_of
        self._coefficients = coefficients
        self._said: Mapping[Key, str] = {}
        self._replayed = variants_at_once(self._adapter, plan.batch)
        self._forced_at_once = Room(plan.batch.rows, "captions")

    @torch.no_grad()
    def force(
        self,
        some: Sequence[Sample],
        layers: Sequence[int],
        said: Mapping[Key, str],
        deliver: Callable[[Scores], None],
    ) -> None:
        """Score the units of these layers on some pictures that go together, which the unchanged model `said` this
        of."""
        self._said = said
        for pictures in prepared(self._adapter, some):
            self._pictures(pictures, layers, deliver)

    def _pictures(
        self,
        pictures: Pictures,
        due: Sequence[int],
        deliver: Callable[[Scores], None],
    ) -> None:
        """The units of some pictures of one form."""
        adapter, contexts, some = self._adapter, self._contexts, pictures.samples
        depths = sorted({self._reference_of[layer] + 1 for layer in due})
        pixels, form = pictures.pixels, pictures.form
        ids = [sample.id for sample in some]
        plain = bool((self._coefficients == 1).all())
        captured = [layer for layer in due if layer in contexts.capture]
        unchanged = adapter.trace(pixels, captured if plain else (), depths, form)
        with scaled(adapter, self._coefficients):
            traced = unchanged if plain or not captured else adapter.trace(pixels, captured, form=form)
            reference_at, reference = -1, None
            for capture, context in contexts.of(pictures, traced, due):
                layer = capture.layer
                at = self._reference_of[layer]
                fresh: Scores = {}
                # One at a time: distributions of a real vocabulary are large.
                if reference is None or at != reference_at:
                    keys: Sequence[Key] = [(id_, at, UNCHANGED) for id_ in ids]
                    reference_at, reference = at, self._forced(keys, unchanged.states[at + 1], at, form)
                    fresh = self._scores(keys, reference, reference, range(len(ids)))
                for keys, states in layer_variants(adapter, capture, ids, self._plan, context, self._replayed):
                    rows = [ids.index(id_) for id_, _, _ in keys]
                    fresh |= self._compared(keys, states, at, reference, rows, form)
                deliver(fresh)

    def _forced(self, keys: Sequence[Key], states: Tensor, at: int, form: Form) -> TeacherForced:
        """What the model thinks, from these states, of what it said unchanged of the keys' pictures at layer `at`."""
        check_finite(states, keys)
        said = [self._said[id_, at, UNCHANGED] for id_, _, _ in keys]
        forced = self._adapter.likelihood(states, said, self._plan.generation, form)
        check_finite(forced.chosen, keys)
        return forced

    def _compared(
        self, keys: Sequence[Key], states: Tensor, at: int, reference: TeacherForced, rows: Sequence[int], form: Form
    ) -> Scores:
        """Scores of states [R, T, n*d], as many rows at a time as memory holds the distributions of."""

        def some(start: int, stop: int) -> Scores:
            forced = self._forced(keys[start:stop], states[start:stop], at, form)
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
