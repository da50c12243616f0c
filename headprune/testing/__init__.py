"""Contracts for plugin authors: subclass one in your tests, override its fixture, and every promise is checked.

    from headprune.testing import ScorerContract

    class TestMyScorer(ScorerContract):
        @pytest.fixture
        def scorer(self):
            return MyScorer()

Raters of layers have `LayerRaterContract`, scorers of logits and of gradients `LogitScorerContract` and
`GradientScorerContract`.
Needs pytest (`pip install 'headprune[test]'`).
"""

from __future__ import annotations

from headprune.testing.likelihoods import GradientScorerContract, LogitScorerContract
from headprune.testing.raters import LayerRaterContract
from headprune.testing.scorers import ScorerContract

__all__ = ["GradientScorerContract", "LayerRaterContract", "LogitScorerContract", "ScorerContract"]
