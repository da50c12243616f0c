"""Registers the `bertscore` scorer."""

from __future__ import annotations

from headprune import ScorerSpec, hookimpl


@hookimpl
def headprune_scorers() -> list[ScorerSpec]:
    """The one scorer of this package."""
    return [
        ScorerSpec(
            name="bertscore",
            target="headprune_bertscore.scorer:BertScore",
            summary="BERTScore F1 against the unchanged model's caption; any BERT-like model, roberta-large by default",
            requires=("bert-score>=0.3.13",),
        )
    ]
