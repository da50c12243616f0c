"""Contracts for plugin authors: subclass one in your tests, override its fixture, and every promise is checked.

    from headprune.testing import ScorerContract

    class TestMyScorer(ScorerContract):
        @pytest.fixture
        def scorer(self):
            return MyScorer()

Scorers of logits and of gradients have `LogitScorerContract` and `GradientScorerContract`.
Needs pytest (`pip install 'headprune[test]'`).
"""

from __future__ import annotations

from headprune.testing.likelihoods import GradientScorerContract, LogitScorerContract
from headprune.testing.scorers import ScorerContract

__all__ = ["GradientScorerContract", "LogitScorerContract", "ScorerContract"]
