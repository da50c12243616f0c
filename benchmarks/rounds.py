"""The clock: contestants take turns, round after round, so that what slows the machine slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def nothing() -> None:
    """There is nothing to wait for, nothing to get ready."""


def interleaved(
    contestants: Mapping[str, Callable[[], T]],
    rounds: int,
    same: Callable[[str, T, str, T], None],
    before: Callable[[], None] = nothing,
    finish: Callable[[], None] = nothing,
) -> dict[str, list[float]]:
    """Seconds of each contestant in each round.

    Args:
        contestants: what to time; the first one's results are those the others' are held against.
        rounds: how often each runs.
        same: given two names and their results, raises where the results differ; so no time of a wrong result is kept.
        before: called ahead of each run, off the clock.
        finish: called at the end of each run, on the clock: waits for a device.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    wanted: dict[str, T] = {}
    for _ in range(rounds):
        for name, run in contestants.items():
            before()
            start = time.perf_counter()
            result = run()
            finish()
            seconds[name].append(time.perf_counter() - start)
            for first in list(wanted)[:1]:
                same(first, wanted[first], name, result)
            wanted.setdefault(name, result)
    return seconds
