"""What every scorer that needs no text promises, as tests that a plugin author inherits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import itemgetter
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from headprune.hooks.kinds import GradientScorer, LogitScorer
from headprune.testing.contract import assert_nothing_printed
from headprune.testing.scorers import AnyScorerContract
from headprune.types import LogitRows


class _LikelihoodContract(AnyScorerContract):
    """What both kinds share. `tolerance` is by how much two numbers that ought to be equal may differ."""

    tolerance: ClassVar[float] = 1e-5

    def _assert_equal(self, found: Tensor, wanted: Tensor, when: str) -> None:
        self._assert_close(found, wanted, when, self.tolerance)

    def _assert_close(self, found: Tensor, wanted: Tensor, when: str, tolerance: float) -> None:
        """NaN equals NaN: that numbers are finite is another promise."""
        assert found.shape == wanted.shape, f"shapes differ {when}: {tuple(wanted.shape)} and {tuple(found.shape)}"
        close = torch.allclose(found, wanted, tolerance, tolerance, equal_nan=True)
        assert close, f"numbers differ {when}, by up to {float((found - wanted).abs().max())}"


class LogitScorerContract(_LikelihoodContract):
    """Subclass it as `Test...` and override the fixture `scorer`."""

    @pytest.fixture
    def scorer(self) -> LogitScorer:
        """The scorer under test, new."""
        raise NotImplementedError("override the fixture `scorer`")

    def test_one_number_per_row(self, scorer: LogitScorer) -> None:
        """A tensor [R]."""
        scores = scorer.score(_rows())
        assert scores.shape == (4,), f"the scores of 4 rows have the shape {tuple(scores.shape)}"

    def test_scores_are_finite(self, scorer: LogitScorer) -> None:
        """Each score is a finite number."""
        scores = scorer.score(_rows())
        assert bool(torch.isfinite(scores).all()), f"not all of {scores.tolist()} are finite"

    def test_deterministic(self, scorer: LogitScorer) -> None:
        """The same rows get the same scores again, bit for bit."""
        first, again = scorer.score(_rows()), scorer.score(_rows())
        self._assert_close(again, first, "at first and again", 0.0)

    def test_leaves_its_arguments_alone(self, scorer: LogitScorer) -> None:
        """The rows stay as they were."""
        rows, untouched = _rows(), _rows()
        scorer.score(rows)
        changed = [name for name in LogitRows.__slots__ if not getattr(rows, name).equal(getattr(untouched, name))]
        assert not changed, f"`score` changes {', '.join(changed)}"

    def test_prints_nothing(self, scorer: LogitScorer, capfd: pytest.CaptureFixture[str]) -> None:
        """It prints nothing to stdout, where results go."""
        scorer.score(_rows())
        assert_nothing_printed(capfd)

    def test_batch_equals_one_by_one(self, scorer: LogitScorer) -> None:
        """A row's score does not depend on the rows it is scored with."""
        alone = [scorer.score(_mapped(_rows(), itemgetter(slice(row, row + 1)))) for row in range(4)]
        self._assert_equal(scorer.score(_rows()), torch.cat(alone), "alone and together")

    def test_what_is_masked_out_does_not_matter(self, scorer: LogitScorer) -> None:
        """Other distributions and tokens behind a caption, or more of them, change nothing."""
        scores = scorer.score(_rows())
        rows = _rows()
        hidden = ~rows.mask
        noise = torch.randn(rows.changed.shape, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
        other = replace(
            rows,
            changed=torch.where(hidden[..., None], noise, rows.changed),
            tokens=torch.where(hidden, 0, rows.tokens),
        )
        self._assert_equal(scorer.score(other), scores, "with what stands behind the captions")
        longer = _mapped(_rows(), lambda part: torch.cat([part, part[:, :2]], dim=1))
        longer.mask[:, rows.mask.shape[1] :] = False
        self._assert_equal(scorer.score(longer), scores, "with how much stands behind the captions")

    def test_direction(self, scorer: LogitScorer) -> None:
        """Distributions equal to the unchanged ones score at least as well as the same turned around."""
        equal = scorer.score(replace(_rows(), changed=_rows().unchanged))
        # The caption is what the unchanged model holds likeliest, so turned around it is the least likely.
        turned = scorer.score(replace(_rows(), changed=(-_rows().unchanged).log_softmax(-1)))
        sign = 1 if scorer.higher_is_better else -1
        assert not bool((sign * (equal - turned) < -self.tolerance).any()), (
            f"{equal.tolist()} where nothing is changed, {turned.tolist()} where all is turned around, and "
            f"higher_is_better is {scorer.higher_is_better}"
        )


class GradientScorerContract(_LikelihoodContract):
    """Subclass it as `Test...` and override the fixture `scorer`."""

    @pytest.fixture
    def scorer(self) -> GradientScorer:
        """The scorer under test, new."""
        raise NotImplementedError("override the fixture `scorer`")

    def test_one_number_per_head(self, scorer: GradientScorer) -> None:
        """As many as derivatives, [B, L, H]."""
        found = scorer.score(_gradients())
        assert found.shape == (3, 2, 4), f"importances of [3, 2, 4] derivatives have the shape {tuple(found.shape)}"

    def test_importances_are_finite(self, scorer: GradientScorer) -> None:
        """Each importance is a finite number, also of a head that a layer does not have."""
        found = scorer.score(_gradients())
        assert bool(torch.isfinite(found).all()), f"not all of {found.tolist()} are finite"

    def test_deterministic(self, scorer: GradientScorer) -> None:
        """The same derivatives get the same importances again, bit for bit."""
        first, again = scorer.score(_gradients()), scorer.score(_gradients())
        self._assert_close(again, first, "at first and again", 0.0)

    def test_leaves_its_arguments_alone(self, scorer: GradientScorer) -> None:
        """The derivatives stay as they were."""
        gradients = _gradients()
        scorer.score(gradients)
        assert gradients.equal(_gradients()), "`score` changes the derivatives"

    def test_prints_nothing(self, scorer: GradientScorer, capfd: pytest.CaptureFixture[str]) -> None:
        """It prints nothing to stdout, where results go."""
        scorer.score(_gradients())
        assert_nothing_printed(capfd)

    def test_batch_equals_one_by_one(self, scorer: GradientScorer) -> None:
        """A sample's importances do not depend on the samples they are made with."""
        alone = torch.cat([scorer.score(_gradients()[row : row + 1]) for row in range(3)])
        self._assert_equal(scorer.score(_gradients()), alone, "alone and together")


def _rows() -> LogitRows:
    """Four captions of 1 to 5 tokens of a vocabulary of 7; the unchanged model's likeliest. Made anew each time."""
    noise = torch.Generator().manual_seed(0)
    changed, unchanged = (torch.randn(4, 5, 7, generator=noise).log_softmax(-1) for _ in range(2))
    mask = torch.arange(5) < torch.tensor([5, 1, 3, 2])[:, None]
    return LogitRows(changed, unchanged, unchanged.argmax(-1), mask)


def _mapped(rows: LogitRows, change: Callable[[Tensor], Tensor]) -> LogitRows:
    return LogitRows(*(change(getattr(rows, name)) for name in LogitRows.__slots__))


def _gradients() -> Tensor:
    """[3, 2, 4]; a head is missing in the second layer. Made anew each time."""
    made = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
    made[:, 1, 3] = 0
    return made
