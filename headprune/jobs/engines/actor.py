"""One of Ray's workers: it loads the model once, and does tasks until it is let go of."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
import torch
from PIL import Image

from headprune.errors import Notice
from headprune.jobs.opening import load_for
from headprune.jobs.settings import settings_for
from headprune.patch.fit import versions
from headprune.recipes.schema import Recipe
from headprune.scoring.engine import Kind, ModelFacts, Task
from headprune.scoring.worker import LocalEngine, Worker
from headprune.towers.batches import Batch, Key
from headprune.types import Generation, Sample


@dataclass(frozen=True)
class Loaded:
    """What a worker says of itself once it has the model."""

    facts: ModelFacts
    batch: Batch
    versions: Mapping[str, str]
    node: str
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """What tasks have in common.

    Attributes:
        number: tells it from others.
        generation, batch: as in ScoreSettings; the rest of them is the recipe's.
        pictures: of all samples, in order: where Ray holds their pixels [h, w, 3], by id.
    """

    number: int
    generation: Generation
    batch: Batch
    pictures: Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """What a task gave, and what the user should be told."""

    results: Mapping[Key, Any]
    notices: tuple[str, ...]


class Actor:
    """A worker's process.

    Args:
        recipe: the run's, as plain data.
        folder: the run's current folder, from which its relative paths are taken, where it is there, too.
        threads: how many to compute with.
    """

    def __init__(self, recipe: Mapping[str, Any], folder: str, threads: int) -> None:
        self._recipe = Recipe.model_validate(recipe)
        self._job = -1
        if os.path.isdir(folder):  # noqa: PTH112 - a text that came from another machine
            os.chdir(folder)
        torch.set_num_threads(threads)

    def load(self, rows: int | None) -> Loaded:
        """Load the model; `rows` were asked for at once."""
        with _heard() as notices:
            self._adapter = load_for(self._recipe)
            engine = LocalEngine(self._adapter)
            batch = engine.batch(rows)
        node: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return Loaded(engine.facts, batch, versions(), node, tuple(notices))

    def pictures(self, job: list[Any], number: int, kind: Kind) -> int:
        """How many pictures go together in a task of this kind."""
        return self._working(job, number).pictures(kind)

    def do(self, job: list[Any], number: int, task: Task) -> Done:
        """Do a task of a job, which is given by where Ray holds it."""
        results: dict[Key, Any] = {}
        with _heard() as notices:
            self._working(job, number).do(task, results.update)
        return Done(results, tuple(notices))

    def _working(self, job: list[Any], number: int) -> Worker:
        if self._job != number:
            given: Job = ray.get(job[0])
            settings = settings_for(self._recipe)(self._adapter.geometry, given.batch, given.generation)
            samples = tuple(Sample(id_, (), _opening(held)) for id_, held in given.pictures.items())
            self._worker, self._job = Worker(self._adapter, samples, settings), number
        return self._worker


def _opening(held: Any) -> Callable[[], Image.Image]:
    return lambda: Image.fromarray(ray.get(held))


@contextmanager
def _heard() -> Iterator[list[str]]:
    """The notices that are given meanwhile."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    said += dict.fromkeys(str(warning.message) for warning in caught if issubclass(warning.category, Notice))
