"""What happens in a run, as its listeners hear of it. Plain data: nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headprune.types import Geometry, Interval, ModelRef


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run of Algorithm 1 that begins, or goes on.

    Attributes:
        folder: the run folder; None where a library call writes none.
        settings: the resolved recipe, JSON-able, nested as in a recipe file.
        model, geometry: which model is scored, and its tower.
        scorer, edit: as they are recorded in the patch: name, where the code came from, settings.
        sample_ids: of the samples that are scored, in the order drawn.
        layers: that are scored, 0-based.
        resumed: whether an earlier run in the same folder is gone on with.
    """

    folder: Path | None
    settings: Mapping[str, Any]
    model: ModelRef
    geometry: Geometry
    scorer: Mapping[str, Any]
    edit: Mapping[str, Any]
    sample_ids: tuple[str, ...]
    layers: tuple[int, ...]
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: `done` of `total` captions (or heads scored without text) in the stage called `stage`;
    `samples` pictures share them."""

    stage: str
    done: int
    total: int
    samples: int


@dataclass(frozen=True, slots=True)
class LayerScored:
    """A layer whose heads have their importance.

    Attributes:
        layer: 0-based.
        importance, alpha: of each head that the layer has: the mean over the samples, and softmax of it, each with its
            95 % bootstrap interval.
    """

    layer: int
    importance: tuple[Interval, ...]
    alpha: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A run that is done.

    Attributes:
        patch: the file of its patch; None where a library call writes none.
        seconds: how long it took, loading left out.
        decoded, reused: captions (or heads scored without text) made now, and taken from the run folder.
    """

    patch: Path | None
    seconds: float
    decoded: int
    reused: int


@dataclass(frozen=True, slots=True)
class RunFailed:
    """A run that did not end well. What it made so far is kept in its folder, and the same command goes on with it.

    Attributes:
        kind: the class of the error, "KeyboardInterrupt" where somebody stopped it.
        reason: what it said, without keys.
        seconds: how long it took until then.
    """

    kind: str
    reason: str
    seconds: float
