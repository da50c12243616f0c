"""Ray's workers of one run: placed where there is room, replaced when they die, and more of them as nodes join."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from headprune.errors import HeadpruneError, notice
from headprune.jobs.engines.actor import Actor, Loaded
from headprune.jobs.engines.placement import needs_of, room_for
from headprune.jobs.opening import asked_rows, request_of
from headprune.patch.fit import versions
from headprune.recipes.schema import Recipe
from headprune.recipes.toml import plugins_anchored
from headprune.scoring.engine import Task
from headprune.towers.load import outline_model

# How long a look at what is ready may take, and how often it is looked whether there is room for more workers; seconds.
_LOOK, _GROW = 0.5, 5.0
# How long nodes may take to join, in seconds.
_JOINING = 30.0
# After so many workers that could not even load the model the run ends.
_MOST_FAILED_STARTS = 3
# What of our environment a worker must know; no key is among it, as Ray writes down what it is given.
_PASSED_ON = ("HEADPRUNE_PLUGINS", "HEADPRUNE_NO_PLUGINS", "HF_HUB_OFFLINE", "HF_HOME", "TRANSFORMERS_OFFLINE")


class Pool:
    """Workers, each idle, busy with one task, or starting.

    Args:
        recipe: the run's.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._needs = needs_of(recipe, outline_model(recipe.model, request_of(recipe)), _nodes())
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}
        # A task that nobody waits for any more is None.
        self._busy: dict[Any, tuple[Any, Task | None]] = {}
        self._loaded: Loaded | None = None
        self._failed_starts = 0
        self._looked = float("-inf")
        self._actor: Any = ray.remote(Actor).options(  # type: ignore[attr-defined, unused-ignore]
            num_cpus=self._needs.cpus,
            num_gpus=self._needs.gpus,
            memory=self._needs.memory,
            runtime_env={"env_vars": {name: os.environ[name] for name in _PASSED_ON if name in os.environ}},
        )

    @property
    def busy(self) -> int:
        """How many workers are at a task that is waited for."""
        return sum(task is not None for _, task in self._busy.values())

    @property
    def idle(self) -> int:
        """How many have nothing to do."""
        return len(self._idle)

    @property
    def size(self) -> int:
        """How many there are, or will be: what the recipe asks for, or the cluster has room for now."""
        return self._recipe.ray.workers or max(1, room_for(self._needs, _nodes()))

    def first(self) -> Loaded:
        """Start workers, and wait for the first that has loaded the model: what it says of itself.

        Raises:
            HeadpruneError: no node has room for a worker, on a cluster that may still grow after a while.
        """
        began, said = time.monotonic(), False
        asked, room = self._recipe.ray.workers, room_for(self._needs, _nodes())
        if room:
            notice(f"Ray: room for {min(asked or room, room)} workers now, each with {self._needs}")
        # Nodes of a cluster join one after the other; ours has the one that it will ever have.
        patience = _JOINING if self._recipe.ray.address else 0.0
        while self._loaded is None:
            waited = time.monotonic() - began
            if waited >= patience and not room_for(self._needs, _nodes()):
                raise HeadpruneError(
                    f"no node of the cluster has room for a worker, which needs {self._needs}",
                    "[ray] cpus, gpus and memory in a recipe say what a worker is given",
                )
            if waited >= _JOINING and not said:
                notice("no worker is ready yet: the model is being loaded, or others take up the cluster")
                said = True
            self.grow(self.size)
            self.see_started(_LOOK)
        return self._loaded

    def grow(self, useful: int) -> None:
        """Start workers where there is room for more, and no more than are `useful`."""
        alive = len(self._idle) + len(self._starting) + len(self._busy)
        if alive and time.monotonic() - self._looked < _GROW:
            return
        self._looked = time.monotonic()
        recipe = plugins_anchored(self._recipe.model_dump(mode="json"), Path.cwd())
        if self._recipe.device.startswith("cuda"):
            recipe["device"] = "cuda"  # a worker sees its own GPUs only
        for _ in range(min(self.size, max(1, useful)) - alive):
            actor = self._actor.remote(recipe, str(Path.cwd()), self._needs.cpus)
            self._starting[actor.load.remote(asked_rows(self._recipe))] = actor

    def start(self, task: Task, held: list[Any], number: int) -> None:
        """Have an idle worker do a task of a job."""
        actor = self._idle.pop()
        self._busy[actor.do.remote(held, number, task)] = actor, task

    def forget(self) -> None:
        """Wait for no task any more: what workers are at ends, and is dropped."""
        self._busy = {reference: (actor, None) for reference, (actor, _) in self._busy.items()}

    def ask(self, call: Callable[[Any], Any]) -> Any:
        """What a worker answers; when it dies over it, what another does."""
        while True:
            while not self._idle:
                self.grow(1)
                self.see_started(_LOOK)
            try:
                return _answer(call(self._idle[-1]))
            except _DiedError as error:
                self._bury(self._idle.pop(), str(error))

    def finished(self) -> Iterator[tuple[Task, Any]]:
        """Wait a little for tasks that are done: each with what it gave, or with why its worker died.

        Raises:
            HeadpruneError: what a task raised.
        """
        self.see_started(0)
        if not self._busy:
            time.sleep(_LOOK / 5)
            return
        ready, _ = ray.wait([*self._busy, *self._starting], num_returns=1, timeout=_LOOK)
        for reference in ready:
            if reference not in self._busy:
                continue
            actor, task = self._busy.pop(reference)
            done: Any = None
            try:
                done = _answer(reference)
                self._idle.append(actor)
            except _DiedError as error:
                self._bury(actor, "")
                done = str(error)
            except BaseException:
                self._idle.append(actor)
                if task is not None:
                    raise
            if task is not None:
                yield task, done

    def see_started(self, timeout: float) -> None:
        """Take in workers that have loaded the model; wait so many seconds for one."""
        if not self._starting:
            return
        ready, _ = ray.wait([*self._starting], num_returns=1, timeout=timeout)
        for reference in ready:
            actor = self._starting.pop(reference)
            try:
                loaded = _answer(reference)
            except _DiedError as error:
                self._failed_starts += 1
                if self._failed_starts >= _MOST_FAILED_STARTS:
                    raise HeadpruneError(
                        f"{self._failed_starts} workers died while they loaded the model; the last: {error}",
                        "if their memory ran out: more [ray] memory",
                    ) from error
                self._bury(actor, str(error))
                continue
            self._check(loaded)
            self._idle.append(actor)

    def close(self) -> None:
        """Let go of all workers."""
        for actor in [*self._idle, *self._starting.values(), *(actor for actor, _ in self._busy.values())]:
            ray.kill(actor)

    def _check(self, loaded: Loaded) -> None:
        """See that a worker has what all have."""
        for said in loaded.notices:
            notice(said)
        for name, here in versions().items():
            if loaded.versions[name] != here:
                raise HeadpruneError(
                    f"the worker on {loaded.node} has {name} {loaded.versions[name]}, here it is {here}",
                    "install the same versions on all nodes",
                )
        first = self._loaded or loaded
        if (loaded.facts.weights, loaded.facts.dtype) != (first.facts.weights, first.facts.dtype):
            raise HeadpruneError(
                f"the worker on {loaded.node} has loaded other weights than the one on {first.node}",
                "have the same model in the same place on all nodes, and name --dtype",
            )
        self._loaded = first

    def _bury(self, actor: Any, why: str) -> None:
        if why:
            notice(f"a worker died, another takes its place: {why}")
        ray.kill(actor)
        self._looked = float("-inf")


def _nodes() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return found


class _DiedError(Exception):
    """A worker, or its node, is gone."""


def _answer(reference: Any) -> Any:
    """What a call gave.

    Raises:
        _DiedError: its worker is gone. HeadpruneError: what it raised.
    """
    try:
        return ray.get(reference)
    except RayTaskError as error:
        # As it was raised over there.
        raise (error.cause if isinstance(error.cause, Exception) else error) from None
    except RayError as error:
        first = str(error).strip().splitlines()
        raise _DiedError(first[0] if first else type(error).__name__) from error
