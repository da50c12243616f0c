"""Registers the `bleu`, `rouge` and `exact` scorers."""

from __future__ import annotations

from headprune import ScorerSpec, hookimpl


@hookimpl
def headprune_scorers() -> list[ScorerSpec]:
    """The scorers of this package."""
    return [
        ScorerSpec(
            name="bleu",
            target="headprune_ngram.bleu:Bleu",
            summary="sentence BLEU-4 against the gold captions, 0 to 1, through sacrebleu",
            requires=("sacrebleu>=2.4",),
        ),
        ScorerSpec(
            name="rouge",
            target="headprune_ngram.rouge:Rouge",
            summary="ROUGE-L F1 against the best gold caption, 0 to 1, through rouge-score",
            requires=("rouge-score>=0.1.2",),
        ),
        ScorerSpec(
            name="exact",
            target="headprune_ngram.exact:Exact",
            summary="1 where a caption or label equals a gold one (against=reference: the unchanged model's), else 0",
        ),
    ]
