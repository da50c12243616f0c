"""The training pictures: rendered once, kept as bytes, met again with other captions."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headprune.demo.drawing import SIDE, pixels
from headprune.demo.scenes import Facts, sample

_CHUNK = 1000


@dataclass(frozen=True)
class Pool:
    """Rendered training scenes: pictures [N, SIDE, SIDE, 3] in uint8 and what is true of each."""

    pictures: NDArray[np.uint8]
    facts: list[Facts]


def render_pool(count: int, workers: int = 2) -> Pool:
    """The first `count` scenes of the training split, rendered by several processes."""
    starts = range(0, count, _CHUNK)
    with ProcessPoolExecutor(workers) as crew:
        chunks = list(crew.map(_render, starts))
    pictures = np.concatenate([chunk for chunk, _ in chunks])[:count]
    return Pool(pictures, [facts for _, known in chunks for facts in known][:count])


def _render(start: int) -> tuple[NDArray[np.uint8], list[Facts]]:
    """One chunk: pictures [_CHUNK, SIDE, SIDE, 3] and their facts."""
    scenes = [sample("train", index) for index in range(start, start + _CHUNK)]
    pictures = np.empty((len(scenes), SIDE, SIDE, 3), dtype=np.uint8)
    for place, scene in zip(pictures, scenes, strict=True):
        place[:] = pixels(scene)
    return pictures, [scene.facts for scene in scenes]
