"""Registers the `resample`, `noise` and `attention-temperature` edits."""

from __future__ import annotations

from headprune import EditSpec, hookimpl


@hookimpl
def headprune_edits() -> list[EditSpec]:
    """The edits of this package."""
    return [
        EditSpec(
            name="resample",
            target="headprune_perturb.resample:Resample",
            summary="head h says what it says of another picture",
        ),
        EditSpec(
            name="noise",
            target="headprune_perturb.noise:Noise",
            summary="Gaussian noise is added to head h (options: scale=1.0 of its own size, seed=0)",
        ),
        EditSpec(
            name="attention-temperature",
            target="headprune_perturb.temperature:AttentionTemperature",
            summary="head h's attention is softened, or sharpened below 1 (option: temperature=2.0)",
        ),
    ]
