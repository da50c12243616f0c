"""A patch: one coefficient a head, with everything needed to know what it is and where it fits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from headprune.errors import PatchError, UsageError
from headprune.types import Geometry

FORMAT_VERSION = 1
MOST = 2**16
"""Layers, or heads of a layer, that a tower may have: what a file says of itself is not believed beyond it."""
Array = NDArray[np.float32]
ScaleRule = Literal["mean-one", "paper", "none"]


def present(geometry: Geometry) -> NDArray[np.bool_]:
    """[L, H], which heads a tower has: all of them, unless it was sliced."""
    there: NDArray[np.bool_] = np.arange(geometry.heads) < np.asarray(geometry.heads_in)[:, None]
    return there


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelRecord(_Record):
    """The model a patch was made on: what was loaded, its tower's geometry and the fingerprint of its weights."""

    name: str
    backend: str
    revision: str | None
    layers: Annotated[int, Field(ge=1, le=MOST)]
    heads: Annotated[int, Field(ge=1, le=MOST)]
    width: Annotated[int, Field(ge=1, lt=2**31)]
    head_width: Annotated[int, Field(ge=1, lt=2**31)]
    cls: bool
    ragged: tuple[int, ...]
    fingerprint: str

    @model_validator(mode="after")
    def _is_a_tower(self) -> ModelRecord:
        if self.ragged and (len(self.ragged) != self.layers or not all(0 <= n <= self.heads for n in self.ragged)):
            raise ValueError("ragged is not a number of heads for each layer")
        return self

    @property
    def geometry(self) -> Geometry:
        """Of the tower it was made on."""
        return Geometry(self.layers, self.heads, self.width, self.head_width, self.cls, self.ragged)

    @property
    def present(self) -> NDArray[np.bool_]:
        """[L, H], which heads there are."""
        return present(self.geometry)


class PatchInfo(_Record):
    """How a patch came about; one JSON document in the file's metadata.

    `comparable` says where raw importances may be compared (`within-layer` or `across-layers`); `parents` holds the
    digests of the patches this one was composed of.
    """

    format: int = FORMAT_VERSION
    model: ModelRecord
    scorer: dict[str, Any]
    edit: dict[str, Any]
    comparable: Literal["within-layer", "across-layers"]
    decode_at: str
    schedule: str
    temperature: float
    generation: dict[str, Any]
    dataset: str
    sample_ids: tuple[str, ...]
    seed: int
    versions: dict[str, str]
    parents: tuple[str, ...] = ()

    def canonical(self) -> str:
        """Canonical JSON: sorted keys, no spaces. Equal infos give equal text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


@dataclass(frozen=True)
class Patch:
    """Coefficients of a tower's heads. Rows are layers, 0-based; a row is NaN where the layer was not scored, a number
    in it where a sliced layer has no such head.

    Attributes:
        importance: [L, H], mean importance over the samples.
        alpha: [L, H], softmax(importance / temperature) within each layer (Algorithm 1).
        scale: [L, H], what is applied to the heads.
        samples: [L, H], how many samples each mean is over.
        info: where it comes from.
    """

    importance: Array
    alpha: Array
    scale: Array
    samples: NDArray[np.int32]
    info: PatchInfo

    def __post_init__(self) -> None:
        shape = (self.info.model.layers, self.info.model.heads)
        for name in ("importance", "alpha", "scale", "samples"):
            if getattr(self, name).shape != shape:
                raise PatchError(
                    f"{name} is {getattr(self, name).shape}, not {shape}", "the patch is damaged: make it again"
                )
        if np.any(self.samples < 0):
            raise PatchError("samples is below 0", "the patch is damaged: make it again")
        unscored = self.samples == 0
        for name in ("importance", "alpha", "scale"):
            values = getattr(self, name)
            if not np.all(np.isfinite(values) | (unscored & np.isnan(values))):
                raise PatchError(
                    f"{name} is not finite at a head that was scored", "the patch is damaged: make it again"
                )
        applied = np.isfinite(self.scale)
        expected = applied.any(axis=1, keepdims=True) & self.info.model.present
        if not np.all(applied | np.isnan(self.scale)) or np.any(applied != expected):
            raise PatchError(
                "scale is neither a number nor unset in a layer that is applied", "the patch is damaged: make it again"
            )

    @property
    def scored(self) -> list[int]:
        """The layers that the patch says something about."""
        return [int(layer) for layer in np.flatnonzero(np.isfinite(self.scale).any(axis=1))]

    def digest(self) -> str:
        """sha256 over tensors and info: the identity of a patch."""
        digest = hashlib.sha256(self.info.canonical().encode())
        for array in (self.importance, self.alpha, self.scale, self.samples):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def coefficients(self, scale: ScaleRule = "mean-one", pruned: NDArray[np.bool_] | None = None) -> Array:
        """s, [L, H], what each head is multiplied by; 1 where a layer was not scored, 0 where `pruned`.

        Args:
            scale: `mean-one` applies the patch's own scale (H * alpha as scored); `paper` alpha itself, the literal
                reading, which shrinks a layer H-fold; `none` leaves kept heads alone.
            pruned: [L, H], heads to silence.
        """
        if scale == "paper":
            if not np.isfinite(self.alpha[np.isfinite(self.scale)]).all():
                raise UsageError("a composed patch has no alpha of its own", "apply it with --scale mean-one")
            chosen = self.alpha
        else:
            chosen = self.scale if scale == "mean-one" else np.ones_like(self.scale)
        s: Array = np.where(np.isfinite(self.scale), chosen, 1).astype(np.float32)
        if pruned is not None:
            s[pruned] = 0
        return s
