"""Registers the `logit` and `gradient` scorers."""

from __future__ import annotations

from headprune import ScorerSpec, hookimpl


@hookimpl
def headprune_scorers() -> list[ScorerSpec]:
    """The two scorers of this package."""
    return [
        ScorerSpec(
            name="logit",
            target="headprune_likelihood.logit:Logit",
            summary="KL divergence along the unchanged caption, or its log-likelihood (measure=kl|likelihood); no text",
        ),
        ScorerSpec(
            name="gradient",
            target="headprune_likelihood.gradient:Gradient",
            summary="the loss's sensitivity to each head (Michel et al. 2019), one backward pass; no text, no edit",
        ),
    ]
