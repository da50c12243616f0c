"""What Algorithm 1 is run with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headprune.edits.edit import Comparable, Edit
from headprune.hooks.blame import blaming
from headprune.hooks.checks import checked_description
from headprune.hooks.kinds import AnyScorer, GradientScorer
from headprune.hooks.local import recorded_name
from headprune.towers.batches import Batch
from headprune.types import DecodePoint, Generation, Geometry, Schedule


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """What Algorithm 1 is run with. `layers` are 0-based; the names, and which code stands behind them (`_origin`, of
    `Catalogue.origin`), are recorded in the patch.

    A scorer that needs gradients takes derivatives at the last layer: `edit`, `decode_at` and `schedule` then play no
    part. A service that a scorer asks is waited for `patience` seconds where it stops to answer.
    """

    layers: tuple[int, ...]
    edit: Edit
    edit_name: str
    scorer: AnyScorer
    scorer_name: str
    batch: Batch
    decode_at: DecodePoint = DecodePoint.LAYER
    schedule: Schedule = Schedule.ONESHOT
    temperature: float = 1.0
    generation: Generation = field(default_factory=Generation)
    seed: int = 0
    patience: float = 3600.0
    edit_origin: Mapping[str, str] = field(default_factory=dict)
    scorer_origin: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_gradients(self) -> bool:
        """Whether heads are not edited but differentiated by."""
        return isinstance(self.scorer, GradientScorer)

    @property
    def spoken_at(self) -> DecodePoint:
        """Where words come from."""
        return DecodePoint.LAST if self.by_gradients else self.decode_at

    def reference_of(self, layer: int, geometry: Geometry) -> int:
        """At which layer the unchanged model speaks that the variants of `layer` are compared with."""
        return geometry.live - 1 if self.spoken_at is DecodePoint.LAST else layer

    @property
    def comparable(self) -> Comparable:
        """Where importances may be compared: one loss differentiated by all heads compares them all."""
        return Comparable.ACROSS if self.by_gradients else self.edit.comparable

    def edit_record(self) -> dict[str, Any]:
        """What is done to a head, for patch and store."""
        if self.by_gradients:
            return {"name": "derivative"}
        return {"name": recorded_name(self.edit_name), **self.edit_origin, **self.edit.settings.model_dump(mode="json")}

    def scorer_record(self) -> dict[str, Any]:
        """What determines a score, for patch and store."""
        name = f"scorer {self.scorer_name!r}"
        with blaming(name, self.scorer):
            return {
                "name": recorded_name(self.scorer_name),
                **self.scorer_origin,
                **checked_description(self.scorer, name),
            }
