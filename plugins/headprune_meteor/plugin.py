"""Registers the `meteor` scorer."""

from __future__ import annotations

from headprune import ScorerSpec, hookimpl


@hookimpl
def headprune_scorers() -> list[ScorerSpec]:
    """The one scorer of this package."""
    return [
        ScorerSpec(
            name="meteor",
            target="headprune_meteor.scorer:Meteor",
            summary="METEOR against the best gold caption, 0 to 1, through nltk: words, stems and WordNet's synonyms",
            requires=("nltk>=3.9",),
        )
    ]
