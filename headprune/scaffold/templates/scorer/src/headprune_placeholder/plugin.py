"""Tells headprune of the scorer. It is imported at every start: keep it light."""

from __future__ import annotations

import headprune


@headprune.hookimpl
def headprune_scorers() -> list[headprune.ScorerSpec]:
    """The scorers of this package."""
    return [
        headprune.ScorerSpec(
            name="placeholder",
            target="headprune_placeholder.scorer:Placeholder",
            summary="words that a caption shares with its reference, 0 to 1",
        )
    ]
