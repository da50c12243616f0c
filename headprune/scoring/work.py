"""One run of Algorithm 1: the model, its samples, and what has been made of them, kept in the run store as it comes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from headprune.events import Progress
from headprune.patch.apply import applied
from headprune.patch.fit import model_record
from headprune.patch.patch import Array
from headprune.runs.store import RunStore
from headprune.scoring.sampling import Drawn
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.sweep import Captions, SweepPlan, sweep
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, Key
from headprune.types import DecodePoint

Scores = dict[Key, float]


class Work:
    """What every way of scoring shares.

    Attributes:
        model: which it is; known from its weights.
        captions: made or found so far.
        reference_of: for each scored layer, at which layer the unchanged model speaks.
        done, reused: captions and scores made now, and taken from the store.
    """

    def __init__(
        self,
        adapter: Adapter,
        drawn: Drawn,
        settings: ScoreSettings,
        store: RunStore | None,
        progress: Callable[[Progress], None],
    ) -> None:
        self.adapter = adapter
        self.samples = drawn.samples
        self.settings = settings
        self.model = model_record(adapter)
        self.captions: Captions = {}
        self.done = self.reused = 0
        self._store = store
        self._progress = progress
        self._picture_digest = drawn.digest
        at_last = settings.spoken_at is DecodePoint.LAST
        last = adapter.geometry.live - 1
        self.reference_of = {layer: last if at_last else layer for layer in settings.layers}

    def references(self, layers: Sequence[int]) -> tuple[int, ...]:
        """The layers at which the unchanged model speaks for `layers`."""
        return tuple(sorted({self.reference_of[layer] for layer in layers}))

    def plan(self, layers: tuple[int, ...], references: tuple[int, ...], batch: Batch) -> SweepPlan:
        """A sweep as the settings say."""
        settings = self.settings
        return SweepPlan(layers, references, settings.edit, settings.decode_at, settings.generation, batch)

    def changed(self, coefficients: Array) -> AbstractContextManager[None]:
        """The model with its heads scaled by s, [L, H]."""
        return nullcontext() if (coefficients == 1).all() else applied(self.adapter, coefficients)

    def make_captions(
        self, stage: str, layers: tuple[int, ...], references: tuple[int, ...], coefficients: Array
    ) -> None:
        """Make the captions of these layers' variants and unchanged layers, on a model scaled by `coefficients`."""
        plan = self.plan(layers, references, self.settings.batch)
        wanted = [key for sample in self.samples for key in plan.keys(sample.id, self.adapter.geometry.heads_in)]
        context = self._context(coefficients)
        there = self._store.captions(context) if self._store else {}
        known = {key: there[key] for key in wanted if key in there}
        self.captions.update(known)
        count = self._counter(stage, len(known), len(wanted))

        def deliver(fresh: Captions) -> None:
            if self._store:
                self._store.add_captions(context, fresh)
            self.captions.update(fresh)
            count(len(fresh.keys() - known.keys()))

        with self.changed(coefficients):
            sweep(self.adapter, self.samples, plan, known, deliver)

    def make_scores(
        self,
        stage: str,
        wanted: Sequence[Key],
        coefficients: Array,
        make: Callable[[Mapping[Key, float], Callable[[Scores], None]], None],
    ) -> Scores:
        """The wanted scores by the settings' scorer.

        Args:
            make: given those that are known and what to call with new ones, makes the others.
        """
        context = self._context(coefficients)
        scorer = self._store.scorer(self.settings.scorer_record()) if self._store else ""
        there = self._store.scores(context, scorer) if self._store else {}
        known = {key: there[key] for key in wanted if key in there}
        scores = dict(known)
        count = self._counter(stage, len(known), len(wanted))

        def deliver(fresh: Scores) -> None:
            if self._store:
                self._store.add_scores(context, scorer, fresh)
            # What the store has stays as it is.
            new = {key: value for key, value in fresh.items() if key not in scores}
            scores.update(new)
            count(len(new))

        if len(known) < len(wanted):
            make(known, deliver)
        return scores

    def _counter(self, stage: str, known: int, wanted: int) -> Callable[[int], None]:
        """Counts what is made in a stage, and reports it."""
        self.reused += known
        made = 0

        def count(fresh: int) -> None:
            nonlocal made
            made += fresh
            self.done += fresh
            self._progress(Progress(stage, known + made, wanted, len(self.samples)))

        count(0)
        return count

    def _context(self, coefficients: Array) -> str:
        """The store's name for everything that determines a caption or a score besides sample, layer, head, scorer."""
        settings = self.settings
        determined: dict[str, Any] = {
            "fingerprint": self.model.fingerprint,
            "dtype": str(self.adapter.dtype),
            "pictures": self._picture_digest,
            "generation": settings.generation.record(),
            "edit": settings.edit_record(),
            "decode_at": settings.spoken_at.value,
            "coefficients": hashlib.sha256(coefficients.tobytes()).hexdigest(),
        }
        return self._store.context(determined) if self._store else ""
