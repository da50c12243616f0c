"""Registers the `concreteness` scorer."""

from __future__ import annotations

from headprune import ScorerSpec, hookimpl


@hookimpl
def headprune_scorers() -> list[ScorerSpec]:
    """The one scorer of this package."""
    return [
        ScorerSpec(
            name="concreteness",
            target="headprune_wordnet.scorer:WordNetConcreteness",
            summary="how concrete a caption is: its things, their depth in WordNet, its details; needs no server",
        )
    ]
