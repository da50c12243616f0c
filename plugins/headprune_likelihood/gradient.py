"""The `gradient` scorer: how much the loss answers to a head."""

from __future__ import annotations

from torch import Tensor

from headprune import GradientScorer


class Gradient(GradientScorer):
    """|d loss / d s[h]| of each sample, in nats. Its mean over samples is the head importance of Michel et al. (2019),
    "Are Sixteen Heads Really Better than One?", Eq. 2, without their normalisation by layer."""

    def score(self, gradients: Tensor) -> Tensor:
        """[B, L, H], 0 or more."""
        return gradients.abs()
