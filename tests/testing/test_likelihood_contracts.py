"""The contracts of scorers that need no text: each broken promise fails the test of that promise."""

from __future__ import annotations

import pytest
import torch

from headprune import GradientScorer, LogitRows, LogitScorer
from headprune.testing import GradientScorerContract, LogitScorerContract


class Kept(LogitScorer):
    """The log-probability of the first token."""

    def score(self, rows: LogitRows) -> torch.Tensor:
        return rows.changed.gather(-1, rows.tokens[..., None])[:, 0, 0]


class TestKept(LogitScorerContract):
    @pytest.fixture
    def scorer(self) -> LogitScorer:
        return Kept()


class Reads(Kept):
    def score(self, rows):
        return rows.changed.gather(-1, rows.tokens[..., None]).mean(dim=(1, 2))


class Relative(Kept):
    def score(self, rows):
        return super().score(rows) - super().score(rows).mean()


class Backwards(Kept):
    higher_is_better = False


class TooMany(Kept):
    def score(self, rows):
        return super().score(rows)[:, None]


class Marking(Kept):
    def score(self, rows):
        rows.changed[0] += 1
        return super().score(rows)


@pytest.mark.parametrize(
    ("scorer", "promise"),
    [
        (Reads, "test_what_is_masked_out_does_not_matter"),
        (Relative, "test_batch_equals_one_by_one"),
        (Backwards, "test_direction"),
        (TooMany, "test_one_finite_number_per_row"),
        (Marking, "test_one_finite_number_per_row"),
    ],
)
def test_a_broken_promise_of_a_logit_scorer(scorer, promise):
    getattr(LogitScorerContract(), promise)(Kept())
    with pytest.raises(AssertionError):
        getattr(LogitScorerContract(), promise)(scorer())


class Plain(GradientScorer):
    def score(self, gradients):
        return gradients**2


class OfTheBatch(Plain):
    def score(self, gradients):
        return gradients / gradients.abs().sum()


class OfNothing(Plain):
    def score(self, gradients):
        return gradients / gradients


@pytest.mark.parametrize(
    ("scorer", "promise"),
    [(OfTheBatch, "test_batch_equals_one_by_one"), (OfNothing, "test_one_finite_number_per_head")],
)
def test_a_broken_promise_of_a_gradient_scorer(scorer, promise):
    getattr(GradientScorerContract(), promise)(Plain())
    with pytest.raises(AssertionError):
        getattr(GradientScorerContract(), promise)(scorer())
