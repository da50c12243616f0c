"""`logit` and `gradient`: the contracts, and values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from headprune_likelihood.gradient import Gradient
from headprune_likelihood.logit import Logit

from headprune import GradientScorer, LogitRows, LogitScorer, UsageError
from headprune.testing import GradientScorerContract, LogitScorerContract


class TestDivergenceContract(LogitScorerContract):
    @pytest.fixture
    def scorer(self) -> LogitScorer:
        return Logit()


class TestLikelihoodContract(LogitScorerContract):
    @pytest.fixture
    def scorer(self) -> LogitScorer:
        return Logit.configured({"measure": "likelihood"})


class TestGradientContract(GradientScorerContract):
    @pytest.fixture
    def scorer(self) -> GradientScorer:
        return Gradient()


# One caption of two tokens, and a third place behind it.
CHANGED = torch.tensor([[[0.5, 0.5], [0.9, 0.1], [0.5, 0.5]]]).log()
UNCHANGED = torch.tensor([[[0.8, 0.2], [0.9, 0.1], [0.1, 0.9]]]).log()
ROWS = LogitRows(CHANGED, UNCHANGED, torch.tensor([[0, 1, 0]]), torch.tensor([[True, True, False]]))


def test_divergence_by_hand() -> None:
    first = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    assert Logit().score(ROWS).tolist() == pytest.approx([-(first + 0) / 2])


def test_likelihood_by_hand() -> None:
    scorer = Logit.configured({"measure": "likelihood"})
    assert scorer.score(ROWS).tolist() == pytest.approx([math.log(0.5) + math.log(0.1)])
    assert scorer.describe() == {"measure": "likelihood"}


def test_a_gradient_counts_in_both_directions() -> None:
    assert Gradient().score(torch.tensor([[[-0.5, 0.25]]])).tolist() == [[[0.5, 0.25]]]


def test_an_unknown_measure_is_refused() -> None:
    with pytest.raises(UsageError, match="measure"):
        Logit.configured({"measure": "js"})
