"""A loaded model at work on a run's tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from headprune.hooks.kinds import GradientScorer, LogitScorer
from headprune.patch.apply import scaled
from headprune.scoring.contexts import Contexts, pictures_of
from headprune.scoring.engine import Engine, Kind, ModelFacts, Results, Task
from headprune.scoring.forcing import Forcing
from headprune.scoring.gradients import derive
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.sweep import SweepPlan, sweep_some, variants_at_once
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, Decoder, choose_batch, gradient_pictures, logit_batch
from headprune.towers.memory import Room
from headprune.types import Sample


class LocalEngine(Engine):
    """The model of this process."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._facts = ModelFacts.of(adapter)
        self._worker: Worker | None = None

    @property
    def facts(self) -> ModelFacts:
        """Of the model."""
        return self._facts

    def batch(self, asked: int | None) -> Batch:
        """How much is done at once."""
        adapter = self._adapter
        return choose_batch(adapter.geometry, adapter.tokens, adapter.dtype.itemsize, asked, adapter.device)

    def pictures(self, kind: Kind, samples: Sequence[Sample], settings: ScoreSettings) -> int:
        """How many pictures go together in a task of this kind."""
        return self._working(samples, settings).pictures(kind)

    def perform(
        self,
        tasks: Sequence[Task],
        samples: Sequence[Sample],
        settings: ScoreSettings,
        deliver: Callable[[Results], None],
    ) -> None:
        """Do the tasks one after the other."""
        worker = self._working(samples, settings)
        for task in tasks:
            worker.do(task, deliver)

    def _working(self, samples: Sequence[Sample], settings: ScoreSettings) -> Worker:
        if self._worker is None or not self._worker.works_on(samples, settings):
            self._worker = Worker(self._adapter, samples, settings)
        return self._worker


class Worker:
    """Does the tasks of one run.

    Args:
        adapter: the model, unchanged between tasks.
        samples: all of the run's.
        settings: what it is done with.
    """

    def __init__(self, adapter: Adapter, samples: Sequence[Sample], settings: ScoreSettings) -> None:
        self._adapter = adapter
        self._samples = samples
        self._settings = settings
        self._by_id = {sample.id: sample for sample in samples}
        # How much memory holds is found out once for all tasks.
        self._decoder = Decoder(adapter, settings.generation, settings.batch)
        self._replayed = variants_at_once(adapter, settings.batch)
        # What was found out before the last task, and does for the next one of its kind.
        self._known_for: tuple[Any, ...] = ()
        self._contexts: Contexts | None = None
        self._forcing: Forcing | None = None
        self._derived_at_once: Room | None = None

    def works_on(self, samples: Sequence[Sample], settings: ScoreSettings) -> bool:
        """Whether it does the tasks of this run."""
        return self._settings is settings and self._samples is samples

    def pictures(self, kind: Kind) -> int:
        """How many pictures go together in a task of this kind."""
        settings, batch = self._settings, self._batch(kind)
        if kind is Kind.GRADIENTS:
            return gradient_pictures(self._adapter, settings.generation, batch)
        return pictures_of(self._adapter, settings.layers, settings.edit, batch)

    def do(self, task: Task, deliver: Callable[[Results], None]) -> None:
        """Make what a task asks for."""
        some = [self._by_id[id_] for id_ in task.samples]
        if task.kind is Kind.GRADIENTS:
            self._derive(task, some, deliver)
        elif task.kind is Kind.LIKELIHOODS:
            self._force(task, some, deliver)
        else:
            contexts = self._contexts_of(task)
            with scaled(self._adapter, task.coefficients):
                sweep_some(some, self._plan(task), contexts, self._decoder, self._replayed, deliver)

    def _derive(self, task: Task, some: Sequence[Sample], deliver: Callable[[Results], None]) -> None:
        scorer, generation = self._settings.scorer, self._settings.generation
        if not isinstance(scorer, GradientScorer):
            raise TypeError(f"{type(scorer).__name__} takes no derivatives")
        if self._derived_at_once is None:
            self._derived_at_once = Room(self.pictures(Kind.GRADIENTS), "pictures")
        derive(self._adapter, some, task.layers, task.said, scorer, generation, self._derived_at_once, deliver)

    def _force(self, task: Task, some: Sequence[Sample], deliver: Callable[[Results], None]) -> None:
        scorer = self._settings.scorer
        if not isinstance(scorer, LogitScorer):
            raise TypeError(f"{type(scorer).__name__} compares no distributions")
        reference_of = {layer: self._settings.reference_of(layer, self._adapter.geometry) for layer in task.layers}
        contexts = self._contexts_of(task)
        if self._forcing is None:
            self._forcing = Forcing(contexts, self._plan(task), reference_of, scorer, task.coefficients)
        self._forcing.force(some, task.layers, task.said, deliver)

    def _plan(self, task: Task) -> SweepPlan:
        settings = self._settings
        batch = self._batch(task.kind)
        return SweepPlan(task.layers, task.references, settings.edit, settings.decode_at, settings.generation, batch)

    def _batch(self, kind: Kind) -> Batch:
        settings = self._settings
        if kind is Kind.LIKELIHOODS:
            return logit_batch(self._adapter, settings.generation, settings.batch)
        return settings.batch

    def _contexts_of(self, task: Task) -> Contexts:
        """What an edit is told of the task's layers; means are taken over all samples, once."""
        known_for = (task.kind, task.layers, task.coefficients.tobytes())
        if self._contexts is None or self._known_for != known_for:
            with scaled(self._adapter, task.coefficients):
                batch = self._batch(task.kind)
                self._contexts = Contexts(self._adapter, self._samples, task.layers, self._settings.edit, batch)
            self._known_for, self._forcing = known_for, None
        return self._contexts
