"""The contest over one task: who makes the same captions in what time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.contestants import traced
from benchmarks.contestants.floor import floor
from benchmarks.contestants.loop import loop, loop_single
from benchmarks.contestants.ours import ours
from benchmarks.contestants.rows import rows
from benchmarks.results import Row, Target, compared
from benchmarks.rounds import interleaved
from benchmarks.task import Captions, Contestant, Task, same_captions, synchronise

OURS, FLOOR = "ours: headprune.scoring.sweep", "floor: straight-line code"
B1, SINGLE = "B1: forward hook, 32 pictures a batch", "B1-single: forward hook, a picture at a time"
B2, B3 = "B2: nnsight, 32 pictures a batch", "B3: forward hook, heads as rows"

OVER_FLOOR = Target(1.15)
NONE: Mapping[str, Target] = {}
NO_NNSIGHT = "nnsight is not installed: B2 is left out (pip install -e '.[bench]')"
AGAINST = "ours is divided by the floor, the others by ours; captions were equal in every round"


@dataclass(frozen=True)
class Sizes:
    """Rows at a time, found fastest, for those who have a choice: B3, and the decode and the layers of the floor."""

    rows: int
    decode: int
    layers: int

    def __str__(self) -> str:
        floor = f"floor {self.decode} decoded, {self.layers} through layers"
        return f"rows at a time, fastest of those tried: B3 {self.rows}, {floor}"


def fastest(task: Task, tried: Sequence[int]) -> Sizes:
    """Try sizes on `task`, a small one of the kind to come; the best of two runs counts."""
    decode = _fastest(lambda size: floor(task, size, size), task, tried)
    return Sizes(
        rows=_fastest(lambda size: rows(task, size), task, tried),
        decode=decode,
        layers=_fastest(lambda size: floor(task, decode, size), task, tried),
    )


def _fastest(run: Callable[[int], Captions], task: Task, tried: Sequence[int]) -> int:
    def seconds(size: int) -> float:
        start = time.perf_counter()
        run(size)
        synchronise(task.adapter.device)
        return time.perf_counter() - start

    return tried[0] if len(tried) == 1 else min(tried, key=lambda size: min(seconds(size), seconds(size)))


def contestants(sizes: Sizes) -> dict[str, Contestant]:
    """All that take a batch of pictures; ours first."""
    everyone: dict[str, Contestant] = {OURS: ours, FLOOR: partial(floor, size=sizes.decode, step=sizes.layers)}
    everyone |= {B3: partial(rows, size=sizes.rows), B1: loop}
    return everyone | ({B2: traced.traced} if traced.available() else {})


def contest(setting: str, task: Task, sizes: Sizes, rounds: int, targets: Mapping[str, Target] = NONE) -> list[Row]:
    """Everyone on the same batch of pictures; `targets` are for what others take, divided by ours."""
    seconds = _timed(task, contestants(sizes), rounds)
    against: dict[str, tuple[str, Target | None]] = {name: (OURS, targets.get(name)) for name in seconds}
    against[OURS] = (FLOOR, OVER_FLOOR)
    return compared(setting, seconds, "s", against)


def contest_single(setting: str, task: Task, rounds: int, targets: Mapping[str, Target] = NONE) -> list[Row]:
    """Ours against a loop over pictures, on the same few pictures."""
    seconds = _timed(task, {OURS: ours, SINGLE: loop_single}, rounds)
    return compared(setting, seconds, "s", {SINGLE: (OURS, targets.get(SINGLE))})


def _timed(task: Task, everyone: dict[str, Contestant], rounds: int) -> dict[str, list[float]]:
    return interleaved(
        {name: partial(contestant, task) for name, contestant in everyone.items()},
        rounds,
        same_captions,
        finish=partial(synchronise, task.adapter.device),
    )
