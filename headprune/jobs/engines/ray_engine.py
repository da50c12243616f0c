"""Engine `ray`: workers on one machine or many, each of which holds the model; their results go to the one writer."""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayError

from headprune.errors import HeadpruneError, notice
from headprune.jobs.engines.actor import Done, Job
from headprune.jobs.engines.pieces import in_pieces
from headprune.jobs.engines.pool import Pool
from headprune.recipes.schema import Recipe
from headprune.scoring.engine import Engine, Kind, ModelFacts, Results, Task
from headprune.scoring.settings import ScoreSettings
from headprune.towers.batches import Batch, picture_of
from headprune.types import Sample

# Tasks for each worker: the fewer, the longer the last one is waited for; the more, the smaller their batches.
_TASKS_EACH = 3
# Batches of variants in a task, more or less: a worker that dies takes what it made of one with it.
_BATCHES = 16
# How many workers a task may be the last thing of, before it is taken for the reason.
_MOST_DEATHS = 3


class RayEngine(Engine):
    """Ray's workers, used in a `with` block.

    Attributes:
        pool: the workers.

    Args:
        recipe: the run's.

    Raises:
        HeadpruneError: there is no such cluster, it has no room for one worker, or the model cannot be loaded.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._ours = False
        self._job: tuple[Sequence[Sample], ScoreSettings, int, list[Any]] | None = None
        self._numbers = count()
        self._together: dict[tuple[int, Kind], int] = {}

    def __enter__(self) -> RayEngine:
        self._connect()
        try:
            self.pool = Pool(self._recipe)
            try:
                self._first = self.pool.first()
            except BaseException:
                # Ray may be somebody else's, and outlive us.
                self.pool.close()
                raise
        except BaseException:
            self._disconnect()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.close()
        self._disconnect()

    @property
    def facts(self) -> ModelFacts:
        """Of the model, as the first worker has it; all others have the same."""
        return self._first.facts

    def batch(self, asked: int | None) -> Batch:
        """How much a worker does at once, as the first one's memory holds; `asked` is the recipe's."""
        return self._first.batch

    def pictures(self, kind: Kind, samples: Sequence[Sample], settings: ScoreSettings) -> int:
        """How many pictures go together in a task of this kind."""
        number, held = self._job_of(samples, settings)
        if (number, kind) not in self._together:
            self._together[number, kind] = self.pool.ask(lambda actor: actor.pictures.remote(held, number, kind))
        return self._together[number, kind]

    def perform(
        self,
        tasks: Sequence[Task],
        samples: Sequence[Sample],
        settings: ScoreSettings,
        deliver: Callable[[Results], None],
    ) -> None:
        """Have the workers do the tasks, in pieces; a piece whose worker dies is done by another.

        Raises:
            HeadpruneError: what a worker raised; or a piece has killed several.
        """
        try:
            self._perform(self._pieces(tasks, samples, settings), *self._job_of(samples, settings), deliver)
        finally:
            self.pool.forget()

    def _perform(
        self, pieces: Sequence[Task], number: int, held: list[Any], deliver: Callable[[Results], None]
    ) -> None:
        waiting = deque(pieces)
        deaths: dict[int, int] = {}
        while waiting or self.pool.busy:
            self.pool.grow(len(waiting) + self.pool.busy)
            while waiting and self.pool.idle:
                task = waiting.popleft()
                self.pool.start(task, held, number)
            for task, done in self.pool.finished():
                if isinstance(done, Done):
                    try:
                        _hand_over(done, deliver)
                    except KeyboardInterrupt:
                        self._finish(deliver)
                        raise
                    continue
                deaths[id(task)] = deaths.get(id(task), 0) + 1
                if deaths[id(task)] >= _MOST_DEATHS:
                    raise HeadpruneError(
                        f"{_MOST_DEATHS} workers died over the same task; the last: {done}",
                        "if their memory ran out: a smaller --batch-size, or more [ray] memory",
                    )
                notice(f"a worker died, another does its task: {done}")
                waiting.appendleft(task)

    def _finish(self, deliver: Callable[[Results], None]) -> None:
        """Deliver what workers are at, and start nothing more: somebody asked the run to stop where nothing is lost."""
        while self.pool.busy:
            for _, done in self.pool.finished():
                if isinstance(done, Done):
                    with suppress(KeyboardInterrupt):  # as asked before; once more stops the wait
                        _hand_over(done, deliver)

    def _pieces(self, tasks: Sequence[Task], samples: Sequence[Sample], settings: ScoreSettings) -> list[Task]:
        """The tasks in pieces that keep all workers busy. What has to be done together stays so: numbers are the same
        wherever they are made."""
        kind = tasks[0].kind if tasks else None
        captions = kind is Kind.CAPTIONS
        return in_pieces(
            tasks,
            self.facts.geometry.heads_in,
            wanted=_TASKS_EACH * self.pool.size,
            most=_BATCHES * settings.batch.rows,
            together=self.pictures(Kind.CAPTIONS, samples, settings) if captions else None,
            apart=kind is not Kind.GRADIENTS and "means" not in settings.edit.needs,
        )

    def _job_of(self, samples: Sequence[Sample], settings: ScoreSettings) -> tuple[int, list[Any]]:
        """The job of these samples and settings: its number, and where Ray holds it, in a list that Ray passes on as it
        is."""
        if self._job is None or self._job[0] is not samples or self._job[1] is not settings:
            number = next(self._numbers)
            pictures = {sample.id: ray.put(np.asarray(picture_of(sample))) for sample in samples}
            held = [ray.put(Job(number, settings.generation, settings.batch, pictures))]
            self._job = samples, settings, number, held
        return self._job[2], self._job[3]

    def _connect(self) -> None:
        address = self._recipe.ray.address
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._ours = not ray.is_initialized()
        if not self._ours:
            return
        try:
            if address is None:
                ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            else:
                _see_that_someone_answers(address)
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError, RayError) as error:
            where = f"Ray's cluster at {address}" if address else "a Ray cluster on this machine"
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise HeadpruneError(
                f"{where} cannot be had: {first}",
                "`ray status` there tells how it is; where it asks for a token, RAY_AUTH_MODE=token and RAY_AUTH_TOKEN",
            ) from error

    def _disconnect(self) -> None:
        if self._ours:
            ray.shutdown()


def _see_that_someone_answers(address: str) -> None:
    """See that something listens at HOST:PORT: Ray itself would try for minutes.

    Raises:
        OSError, ValueError: nothing does, or that is no address.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("an address is HOST:PORT, or auto")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=10):
        pass


def _hand_over(done: Done, deliver: Callable[[Results], None]) -> None:
    for said in done.notices:
        notice(said)
    deliver(done.results)
