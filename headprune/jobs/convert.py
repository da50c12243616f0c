"""headprune convert: from one library's model to another's checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headprune.files import refuse_unless_free, writing_folder
from headprune.towers.adapter import LoadRequest
from headprune.towers.load import load_model
from headprune.types import Geometry


@dataclass(frozen=True, slots=True)
class Converted:
    """A finished `convert`: where the checkpoint is, and of what model."""

    out: Path
    geometry: Geometry
    parameters: int


def perform_convert(model: str, out: Path) -> Converted:
    """Write `model` as the transformers checkpoint of the same weights to `out`, which appears whole or not at all.

    The model is loaded on the CPU, so the checkpoint is in float32.

    Raises:
        ModelError: the model is not there, or transformers has no such model. UsageError: `out` is not empty.
    """
    refuse_unless_free(out)
    adapter = load_model(model, LoadRequest(model, device="cpu"))
    with writing_folder(out) as beside:
        adapter.convert(beside)
    return Converted(out, adapter.geometry, adapter.parameter_count())
