"""Bootstrap intervals over samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import InstanceOf

from headprune.types import Interval

Floats = Annotated[NDArray[np.float64], InstanceOf()]
"""Numbers of a result; what is read from a run folder is seen to be an array."""
DRAWS = 1000


def resampled_means(values: Floats, seed: int, draws: int = DRAWS) -> Floats:
    """[m, ...] -> [draws, ...]: means over m samples drawn with replacement."""
    rng = np.random.default_rng(seed)
    samples = len(values)
    counts = rng.multinomial(samples, np.full(samples, 1 / samples), size=draws)
    flat: Floats = counts @ values.reshape(samples, -1) / samples
    return flat.reshape(draws, *values.shape[1:])


def limits(
    values: Floats, seed: int, statistic: Callable[[Floats], Any] = lambda means: means, draws: int = DRAWS
) -> tuple[Floats, Floats]:
    """95 % percentile bootstrap limits of `statistic(mean over samples)`; values [m, ...] -> low, high."""
    low, high = np.percentile(statistic(resampled_means(values, seed, draws)), [2.5, 97.5], axis=0)
    return low, high


def mean_interval(values: Floats, seed: int, draws: int = DRAWS) -> Interval:
    """The mean of [m] values with its 95 % bootstrap interval."""
    low, high = limits(values, seed, draws=draws)
    return Interval(float(values.mean()), float(low), float(high))


def mean_intervals(values: Floats, seed: int) -> tuple[Interval, ...]:
    """The mean of each column of [m, k] values over its m rows, with its 95 % bootstrap interval."""
    low, high = limits(values, seed)
    return tuple(Interval(*map(float, row)) for row in zip(values.mean(axis=0), low, high, strict=True))
