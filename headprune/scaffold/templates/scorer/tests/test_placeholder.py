"""What every scorer promises, and what this one does."""

from __future__ import annotations

import headprune
import pytest
from headprune.testing import ScorerContract

from headprune_placeholder.scorer import (
    Placeholder,
    PlaceholderSettings,
)


class TestContract(ScorerContract):
    """Each promise is a test that is inherited: nothing else is to be written here."""

    @pytest.fixture
    def scorer(self) -> Placeholder:
        return Placeholder()


def test_a_short_caption_loses_more_where_recall_counts() -> None:
    item = headprune.ScoreItem("a Dog", reference="a brown dog on the sand")
    scores = []
    for beta in (0.5, 1, 2):
        scorer = Placeholder(PlaceholderSettings(beta=beta))
        scores += scorer.score([item])
    precise, even, complete = scores
    # Both of its words are right, and two of six are there: P = 1, R = 1/3.
    assert even == pytest.approx(0.5)
    assert precise > even > complete
