"""What makes a run's captions and scores: an engine takes tasks, and has a loaded model, here or on many machines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from headprune.patch.fit import model_record, weights_digest
from headprune.patch.patch import Array, ModelRecord
from headprune.scoring.settings import ScoreSettings
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, Key
from headprune.types import Geometry, ModelRef, Sample

Results = Mapping[Key, Any]
"""Captions, or numbers, by whose they are."""


class Kind(str, Enum):
    """What a task makes: captions; numbers by teacher forcing; numbers by derivatives."""

    CAPTIONS = "captions"
    LIKELIHOODS = "likelihoods"
    GRADIENTS = "gradients"


@dataclass(frozen=True)
class ModelFacts:
    """What a run has to know of its model, wherever that is loaded.

    Attributes:
        ref, geometry: which model, and its tower.
        record: for the patch.
        dtype: of the tower.
        weights: a digest of all weights, the language model's included.
        chooses, labels: whether it chooses among labels, and its own, if it has some.
        device: where its tower is, for people.
    """

    ref: ModelRef
    geometry: Geometry
    record: ModelRecord
    dtype: str
    weights: str
    chooses: bool
    labels: tuple[str, ...]
    device: str

    @classmethod
    def of(cls, adapter: Adapter) -> ModelFacts:
        """Of a loaded model."""
        return cls(
            ref=adapter.ref,
            geometry=adapter.geometry,
            record=model_record(adapter),
            dtype=str(adapter.dtype),
            weights=weights_digest(adapter),
            chooses=adapter.chooses,
            labels=adapter.labels,
            device=str(adapter.device),
        )


@dataclass(frozen=True)
class Task:
    """Some of a run's work, which is the same whatever was done before, and wherever it is done.

    Attributes:
        kind: what to make.
        samples: ids, of the run's samples. Numbers depend, in their last bits, on which pictures go together: for
            those a task holds as many as the engine takes together.
        layers: 0-based, whose heads' variants are made.
        coefficients: [L, H], what the model's heads are scaled by.
        references: layers whose unchanged captions are made.
        said: unchanged captions of the samples, where numbers are made.
    """

    kind: Kind
    samples: tuple[str, ...]
    layers: tuple[int, ...]
    coefficients: Array
    references: tuple[int, ...] = ()
    said: Mapping[Key, str] = field(default_factory=dict)

    def pieces(self, size: int) -> list[Task]:
        """The same as tasks of `size` samples."""
        return [
            replace(self, samples=self.samples[start : start + size]) for start in range(0, len(self.samples), size)
        ]

    def by_layers(self, groups: int) -> list[Task]:
        """The same as at most so many tasks, each of some of the layers."""
        size = max(1, -(-len(self.layers) // groups))
        some = [self.layers[start : start + size] for start in range(0, len(self.layers), size)]
        if len(some) < 2:
            return [self]
        # Unchanged captions are made where their layer is; those of a layer that is not edited, with the first.
        others = tuple(layer for layer in self.references if layer not in self.layers)
        return [
            replace(
                self,
                layers=layers,
                references=tuple(sorted({*(others if layers is some[0] else ()), *({*self.references} & {*layers})})),
            )
            for layers in some
        ]


class Engine(ABC):
    """Makes what tasks ask for."""

    @property
    @abstractmethod
    def facts(self) -> ModelFacts:
        """Of the model that it has."""

    @abstractmethod
    def batch(self, asked: int | None) -> Batch:
        """How much it does at once: the rows that were asked for, or what its memory holds."""

    @abstractmethod
    def pictures(self, kind: Kind, samples: Sequence[Sample], settings: ScoreSettings) -> int:
        """How many pictures go together in a task of this kind."""

    @abstractmethod
    def perform(
        self,
        tasks: Sequence[Task],
        samples: Sequence[Sample],
        settings: ScoreSettings,
        deliver: Callable[[Results], None],
    ) -> None:
        """Make what the tasks ask for.

        Args:
            tasks: what to do, of one kind.
            samples: all of the run's: an edit may compare pictures.
            settings: what it is done with.
            deliver: called with results as they come, in any order, in the caller's thread.

        Raises:
            SampleError: a sample's picture cannot be read any more, or the model makes of it what is no number.
            ModelError: memory does not hold the smallest batch.
        """
