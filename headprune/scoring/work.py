"""One run of Algorithm 1: its engine, its samples, and what was made of them, kept in the run store as it comes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from headprune.events import Progress
from headprune.hooks.kinds import Scorer
from headprune.patch.fit import versions
from headprune.patch.patch import Array
from headprune.runs.store import RunStore
from headprune.scoring.engine import Engine, Kind, Results, Task
from headprune.scoring.importance import scored
from headprune.scoring.patience import patiently
from headprune.scoring.sampling import Drawn
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.stages import scores_of
from headprune.scoring.statistics import Floats
from headprune.scoring.sweep import Captions
from headprune.towers.batches import UNCHANGED, Key
from headprune.types import Sample, ScoreItem

Scores = dict[Key, float]
# Added to a score it makes 0.0 of -0.0, as a store does: a run that goes on has the same zeros as one that does not.
_ZERO = 0.0


class Work:
    """What every way of scoring shares.

    Args:
        engine: makes captions and numbers.
        drawn: the samples.
        settings: what it is done with.
        store: where results are kept, and taken from; None keeps none.
        progress: called as they come.
        gold: a digest of the gold captions that the scorer looks at.
        stored: called where all that was made is stored; what it raises ends the run.

    Attributes:
        samples, settings: of the run.
        geometry: of the tower.
        captions: made or found so far.
        reference_of: for each scored layer, at which layer the unchanged model speaks.
        done, reused: captions and scores made now, and taken from the store.
    """

    def __init__(
        self,
        engine: Engine,
        drawn: Drawn,
        settings: ScoreSettings,
        store: RunStore | None,
        progress: Callable[[Progress], None],
        gold: str = "",
        stored: Callable[[], None] = lambda: None,
    ) -> None:
        self.samples = drawn.samples
        self.settings = settings
        self.geometry = engine.facts.geometry
        self.captions: Captions = {}
        self.done = self.reused = 0
        self.reference_of = {layer: settings.reference_of(layer, self.geometry) for layer in settings.layers}
        self._engine = engine
        self._store = store
        self._progress = progress
        self._stored = stored
        self._contexts: dict[bytes, str] = {}
        self._scorer = ""
        # What the store has by each context and scorer, read once.
        self._there: dict[tuple[str, str], Scores] = {}
        self._pictures = drawn.pictures
        self._seen_by_scorer = {"gold": gold} if gold else {}
        if store:
            store.see(drawn.pictures)

    def references(self, layers: Sequence[int]) -> tuple[int, ...]:
        """The layers at which the unchanged model speaks for `layers`."""
        return tuple(sorted({self.reference_of[layer] for layer in layers}))

    def said(self, some: Sequence[Sample], references: Sequence[int]) -> Captions:
        """What the unchanged model said of some samples at these layers."""
        keys = [(sample.id, layer, UNCHANGED) for sample in some for layer in references]
        return {key: self.captions[key] for key in keys}

    def pictures(self, kind: Kind) -> int:
        """How many pictures go together in a task of this kind."""
        return self._engine.pictures(kind, self.samples, self.settings)

    def make_captions(
        self, stage: str, layers: tuple[int, ...], references: tuple[int, ...], coefficients: Array
    ) -> None:
        """Make the captions of these layers' variants and unchanged layers, on a model scaled by `coefficients`."""
        heads = [(layer, UNCHANGED) for layer in references]
        heads += [(layer, head) for layer in layers for head in range(self.geometry.heads_in[layer])]
        wanted = [(sample.id, *head) for sample in self.samples for head in heads]
        context = self._context(coefficients)
        there = self._store.captions(context) if self._store else {}
        known = {key: there[key] for key in wanted if key in there}
        self.captions.update(known)
        todo = tuple(dict.fromkeys(key[0] for key in wanted if key not in known))

        def keep(fresh: Results) -> int:
            if self._store:
                self._store.add_captions(context, fresh)
            before = len(self.captions)
            self.captions.update(fresh)
            return len(self.captions) - before

        tasks = [Task(Kind.CAPTIONS, todo, layers, coefficients, references)] if todo else []
        self._make(stage, len(wanted), len(known), tasks, keep)

    def make_numbers(
        self, stage: str, wanted: Sequence[Key], coefficients: Array, tasks: Callable[[Scores], list[Task]]
    ) -> Scores:
        """The wanted scores by the settings' scorer, which needs no text.

        Args:
            tasks: given those that are known, what is left to do.
        """
        context, scorer, known = self._known_scores(wanted, coefficients)
        scores = dict(known)

        def keep(fresh: Results) -> int:
            self._add_scores(context, scorer, dict(fresh))
            # What the store has stays as it is.
            new = {key: value + _ZERO for key, value in fresh.items() if key not in scores}
            scores.update(new)
            return len(new)

        self._make(stage, len(wanted), len(known), tasks(known), keep)
        return scores

    def scored(self, scorer: Scorer, keys: Sequence[Key], items: Sequence[ScoreItem], coefficients: Array) -> Floats:
        """Scores of captions, [n], higher is better: those of the store, or new ones, which are stored.

        They are made together or not at all: what a scorer gives may depend, in its last bits, on what it is given.
        """
        context, digest, known = self._known_scores(keys, coefficients)
        if len(known) == len({*keys}):
            return np.array([known[key] for key in keys])
        _, layer, head = keys[0]
        with self._stage(scores_of(layer, head), len(keys), 0):
            values = patiently(lambda: scored(scorer, items), self.settings.patience) + _ZERO
            self._add_scores(context, digest, dict(zip(keys, values.tolist(), strict=True)))
        self._stored()
        return values

    def _known_scores(self, wanted: Sequence[Key], coefficients: Array) -> tuple[str, str, Scores]:
        """The store's names for these scores' context and scorer, and those that it has."""
        if not self._store:
            return "", "", {}
        context = self._context(coefficients)
        if not self._scorer:
            self._scorer = self._store.scorer({**self.settings.scorer_record(), **self._seen_by_scorer})
        scorer = self._scorer
        if (context, scorer) not in self._there:
            self._there[context, scorer] = self._store.scores(context, scorer)
        there = self._there[context, scorer]
        return context, scorer, {key: there[key] for key in wanted if key in there}

    def _add_scores(self, context: str, scorer: str, fresh: Scores) -> None:
        if self._store:
            self._store.add_scores(context, scorer, fresh)
            there = self._there[context, scorer]
            there.update((key, value) for key, value in fresh.items() if key not in there)

    def _make(self, stage: str, wanted: int, known: int, tasks: Sequence[Task], keep: Callable[[Results], int]) -> None:
        """Have the engine do the tasks; `keep` keeps what comes, and says how much of it is new."""
        self.reused += known
        made = 0

        def deliver(fresh: Results) -> None:
            nonlocal made
            new = keep(fresh)
            made += new
            self.done += new
            self._progress(Progress(stage, known + made, wanted, len(self.samples)))
            self._stored()

        self._progress(Progress(stage, known, wanted, len(self.samples)))
        if tasks:
            with self._stage(stage, wanted, known):
                self._engine.perform(tasks, self.samples, self.settings, deliver)

    def _stage(self, name: str, total: int, known: int) -> AbstractContextManager[None]:
        log = self._store.log if self._store else None
        return log.stage(name, total, known) if log else nullcontext()

    def _context(self, coefficients: Array) -> str:
        """The store's name for everything that determines a caption or a score besides sample, layer, head, scorer."""
        if not self._store:
            return ""
        scaled_by = coefficients.tobytes()
        if scaled_by not in self._contexts:
            self._contexts[scaled_by] = self._store.context(self._determined(scaled_by))
        return self._contexts[scaled_by]

    def _determined(self, scaled_by: bytes) -> dict[str, Any]:
        settings, facts = self.settings, self._engine.facts
        determined: dict[str, Any] = {
            "model": facts.record.model_dump(mode="json"),
            "weights": facts.weights,
            "dtype": facts.dtype,
            "generation": settings.generation.record(),
            "edit": settings.edit_record(),
            "decode_at": settings.spoken_at.value,
            "coefficients": hashlib.sha256(scaled_by).hexdigest(),
            "versions": versions(),
        }
        if settings.edit.needs & {"means", "donors"} and not settings.by_gradients:
            # Other pictures have a part in what is said of one.
            seen = "".join(f"{sample.id} {self._pictures[sample.id]}\n" for sample in self.samples)
            determined["pictures"] = hashlib.sha256(seen.encode()).hexdigest()
        return determined
