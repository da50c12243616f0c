"""Registers the `vqa-exact` and `vqa-f1` scorers."""

from __future__ import annotations

from headprune import ScorerSpec, hookimpl


@hookimpl
def headprune_scorers() -> list[ScorerSpec]:
    """The scorers of this package."""
    return [
        ScorerSpec(
            name="vqa-exact",
            target="headprune_vqa.scorers:VqaExact",
            summary="1 where an answer is a gold one by VQA's rules, else 0; agreement=3: VQA's own accuracy",
        ),
        ScorerSpec(
            name="vqa-f1",
            target="headprune_vqa.scorers:VqaF1",
            summary="F1 of an answer's words against the gold answer it matches best, 0 to 1, as in SQuAD",
        ),
    ]
