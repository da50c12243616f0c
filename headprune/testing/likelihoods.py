"""What every scorer that needs no text promises, as tests that a plugin author inherits."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from headprune.errors import UsageError
from headprune.hooks.kinds import AnyScorer, GradientScorer, LogitScorer
from headprune.testing.contract import Contract
from headprune.types import LogitRows


class _Likelihoods(Contract):
    """What both kinds promise. `tolerance` is by how much two numbers that ought to be equal may differ."""

    tolerance: ClassVar[float] = 1e-5

    def test_describe_is_json(self, scorer: AnyScorer) -> None:
        """`describe` can be written into a patch."""
        json.dumps(scorer.describe(), allow_nan=False)

    def test_unknown_option_is_refused(self, scorer: AnyScorer) -> None:
        """An option that the scorer does not know ends in a usage error, not in silence."""
        with pytest.raises(UsageError, match="no_such_option"):
            type(scorer).configured({"no_such_option": "1"})

    def _assert_equal(self, found: Tensor, wanted: Tensor) -> None:
        torch.testing.assert_close(found, wanted, atol=self.tolerance, rtol=self.tolerance)


class LogitScorerContract(_Likelihoods):
    """Subclass it as `Test...` and override the fixture `scorer`."""

    @pytest.fixture
    def scorer(self) -> LogitScorer:
        """The scorer under test, new."""
        raise NotImplementedError("override the fixture `scorer`")

    def test_one_finite_number_per_row(self, scorer: LogitScorer) -> None:
        """A tensor [R], finite; the same again for the same rows, which stay as they were."""
        rows, untouched = _rows(), _rows()
        scores = scorer.score(rows)
        assert scores.shape == (4,) and bool(torch.isfinite(scores).all())
        assert torch.equal(scorer.score(rows), scores)
        assert all(torch.equal(getattr(rows, name), getattr(untouched, name)) for name in LogitRows.__slots__)

    def test_batch_equals_one_by_one(self, scorer: LogitScorer) -> None:
        """A row's score does not depend on the rows it is scored with."""
        rows = _rows()
        alone = [scorer.score(_mapped(rows, lambda part, row=row: part[row : row + 1])) for row in range(4)]
        self._assert_equal(scorer.score(rows), torch.cat(alone))

    def test_what_is_masked_out_does_not_matter(self, scorer: LogitScorer) -> None:
        """Other distributions and tokens behind a caption, or more of them, change nothing."""
        rows = _rows()
        scores = scorer.score(rows)
        hidden = ~rows.mask
        noise = torch.randn(rows.changed.shape, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
        other = replace(
            rows,
            changed=torch.where(hidden[..., None], noise, rows.changed),
            tokens=torch.where(hidden, 0, rows.tokens),
        )
        self._assert_equal(scorer.score(other), scores)
        longer = _mapped(rows, lambda part: torch.cat([part, part[:, :2]], dim=1))
        longer.mask[:, rows.mask.shape[1] :] = False
        self._assert_equal(scorer.score(longer), scores)

    def test_direction(self, scorer: LogitScorer) -> None:
        """Distributions equal to the unchanged ones score at least as well as the same turned around."""
        rows = _rows()
        # The caption is what the unchanged model holds likeliest, so turned around it is the least likely.
        turned = replace(rows, changed=(-rows.unchanged).log_softmax(-1))
        better, worse = scorer.score(replace(rows, changed=rows.unchanged)), scorer.score(turned)
        if not type(scorer).higher_is_better:
            better, worse = -better, -worse
        assert bool((better >= worse - self.tolerance).all()), (better, worse)


class GradientScorerContract(_Likelihoods):
    """Subclass it as `Test...` and override the fixture `scorer`."""

    @pytest.fixture
    def scorer(self) -> GradientScorer:
        """The scorer under test, new."""
        raise NotImplementedError("override the fixture `scorer`")

    def test_one_finite_number_per_head(self, scorer: GradientScorer) -> None:
        """As many as derivatives, [B, L, H], finite, also for heads without any; the same again."""
        gradients = _gradients()
        found = scorer.score(gradients)
        assert found.shape == gradients.shape and bool(torch.isfinite(found).all())
        assert torch.equal(scorer.score(gradients), found) and torch.equal(gradients, _gradients())

    def test_batch_equals_one_by_one(self, scorer: GradientScorer) -> None:
        """A sample's importances do not depend on the samples they are made with."""
        gradients = _gradients()
        alone = torch.cat([scorer.score(gradients[row : row + 1]) for row in range(len(gradients))])
        self._assert_equal(scorer.score(gradients), alone)


def _rows() -> LogitRows:
    """Four captions of 1 to 5 tokens of a vocabulary of 7; the unchanged model's likeliest."""
    noise = torch.Generator().manual_seed(0)
    changed, unchanged = (torch.randn(4, 5, 7, generator=noise).log_softmax(-1) for _ in range(2))
    mask = torch.arange(5) < torch.tensor([5, 1, 3, 2])[:, None]
    return LogitRows(changed, unchanged, unchanged.argmax(-1), mask)


def _mapped(rows: LogitRows, change: object) -> LogitRows:
    assert callable(change)
    return LogitRows(*(change(getattr(rows, name)) for name in LogitRows.__slots__))


def _gradients() -> Tensor:
    """[3, 2, 4]; a head is missing in the second layer."""
    made = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
    made[:, 1, 3] = 0
    return made
