"""The contracts of scorers that need no text: right ones keep them, and each promise has one that breaks it alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from headprune import GradientScorer, LogitRows, LogitScorer
from headprune.hooks.kinds import AnyScorer
from headprune.testing import GradientScorerContract, LogitScorerContract
from tests.support.contracts import assert_breaks_only, each, promises


class DescribesASet:
    """Describes itself with what JSON does not have."""

    def describe(self) -> dict[str, Any]:
        return {"words": {"a"}}


class Chatty:
    """Prints how much it is given."""

    def score(self, given: Any) -> Any:
        print("scoring")
        return super().score(given)  # type: ignore[misc]


class TakesAnything:
    """Ignores options that it does not know."""

    @classmethod
    def configured(cls, options: dict[str, Any]) -> Any:
        return cls()


class FirstToken(LogitScorer):
    """The log-probability of the first token."""

    def score(self, rows: LogitRows) -> Tensor:
        return rows.changed.gather(-1, rows.tokens[..., None])[:, 0, 0]


class TestFirstToken(LogitScorerContract):
    @pytest.fixture
    def scorer(self) -> LogitScorer:
        return FirstToken()


class OneTooManyAxes(FirstToken):
    """Gives [R, 1]."""

    def score(self, rows: LogitRows) -> Tensor:
        return super().score(rows)[:, None]


class Deviation(FirstToken):
    """Takes the deviation over a caption's tokens into it, which is NaN of one token."""

    def score(self, rows: LogitRows) -> Tensor:
        tokens = [row[mask] for row, mask in zip(rows.tokens, rows.mask, strict=True)]
        return super().score(rows) + 0 * torch.stack([row.float().std() for row in tokens])


class TiresOfRows(FirstToken):
    """Lowers the scores of rows that it has just scored."""

    last: Tensor | None = None

    def score(self, rows: LogitRows) -> Tensor:
        tired = int(self.last is not None and self.last.equal(rows.changed))
        self.last = rows.changed.clone()
        return super().score(rows) - tired


class ExpInPlace(FirstToken):
    """Makes probabilities in place."""

    def score(self, rows: LogitRows) -> Tensor:
        rows.changed.exp_()
        return super().score(rows)


class MeanOverRows(FirstToken):
    """Divides by the number of rows."""

    def score(self, rows: LogitRows) -> Tensor:
        return super().score(rows) / len(rows.tokens)


class ReadsOn(FirstToken):
    """Takes in what stands behind the caption."""

    def score(self, rows: LogitRows) -> Tensor:
        return rows.changed.gather(-1, rows.tokens[..., None]).sum(dim=(1, 2))


class DividesByLength(FirstToken):
    """Divides by the length that captions are filled up to."""

    def score(self, rows: LogitRows) -> Tensor:
        return super().score(rows) / rows.tokens.shape[1]


class CallsItADistance(FirstToken):
    """Declares the opposite of what it scores."""

    higher_is_better = False


class DescribesASetOfTokens(DescribesASet, FirstToken):
    __doc__ = DescribesASet.__doc__


class TakesAnyOption(TakesAnything, FirstToken):
    __doc__ = TakesAnything.__doc__


class ChattyOfRows(Chatty, FirstToken):
    """Prints how much it is given."""


WRONG_OF_LOGITS: dict[str, tuple[type[LogitScorer], ...]] = {
    "test_one_number_per_row": (OneTooManyAxes,),
    "test_scores_are_finite": (Deviation,),
    "test_deterministic": (TiresOfRows,),
    "test_leaves_its_arguments_alone": (ExpInPlace,),
    "test_batch_equals_one_by_one": (MeanOverRows,),
    "test_what_is_masked_out_does_not_matter": (ReadsOn, DividesByLength),
    "test_direction": (CallsItADistance,),
    "test_describe_is_json": (DescribesASetOfTokens,),
    "test_unknown_option_is_refused": (TakesAnyOption,),
    "test_prints_nothing": (ChattyOfRows,),
}


class Squares(GradientScorer):
    """The squares of the derivatives."""

    def score(self, gradients: Tensor) -> Tensor:
        return gradients**2


class TestSquares(GradientScorerContract):
    @pytest.fixture
    def scorer(self) -> GradientScorer:
        return Squares()


class OneForAllLayers(Squares):
    """Gives [B, 1, H]."""

    def score(self, gradients: Tensor) -> Tensor:
        return super().score(gradients).mean(1, keepdim=True)


class Logarithm(Squares):
    """Is minus infinity for a head without a derivative."""

    def score(self, gradients: Tensor) -> Tensor:
        return super().score(gradients).log()


class TiresOfGradients(Squares):
    """Lowers the importances of derivatives that it has just seen."""

    last: Tensor | None = None

    def score(self, gradients: Tensor) -> Tensor:
        tired = int(self.last is not None and self.last.equal(gradients))
        self.last = gradients.clone()
        return super().score(gradients) - tired


class AbsoluteInPlace(Squares):
    """Takes away signs in place."""

    def score(self, gradients: Tensor) -> Tensor:
        return super().score(gradients.abs_())


class ShareOfTheBatch(Squares):
    """Divides by the sum over all samples."""

    def score(self, gradients: Tensor) -> Tensor:
        return super().score(gradients) / super().score(gradients).sum()


class DescribesASetOfHeads(DescribesASet, Squares):
    __doc__ = DescribesASet.__doc__


class TakesEveryOption(TakesAnything, Squares):
    __doc__ = TakesAnything.__doc__


class ChattyOfHeads(Chatty, Squares):
    """Prints how much it is given."""


WRONG_OF_GRADIENTS: dict[str, tuple[type[GradientScorer], ...]] = {
    "test_one_number_per_head": (OneForAllLayers,),
    "test_importances_are_finite": (Logarithm,),
    "test_deterministic": (TiresOfGradients,),
    "test_leaves_its_arguments_alone": (AbsoluteInPlace,),
    "test_batch_equals_one_by_one": (ShareOfTheBatch,),
    "test_describe_is_json": (DescribesASetOfHeads,),
    "test_unknown_option_is_refused": (TakesEveryOption,),
    "test_prints_nothing": (ChattyOfHeads,),
}


@pytest.mark.parametrize(("promise", "culprit"), each(WRONG_OF_LOGITS))
def test_a_broken_promise_of_a_logit_scorer(promise: str, culprit: type[AnyScorer]) -> None:
    assert_breaks_only(promise, LogitScorerContract, scorer=culprit)


@pytest.mark.parametrize(("promise", "culprit"), each(WRONG_OF_GRADIENTS))
def test_a_broken_promise_of_a_gradient_scorer(promise: str, culprit: type[AnyScorer]) -> None:
    assert_breaks_only(promise, GradientScorerContract, scorer=culprit)


def test_each_promise_has_a_scorer_that_breaks_it() -> None:
    assert promises(LogitScorerContract) == WRONG_OF_LOGITS.keys()
    assert promises(GradientScorerContract) == WRONG_OF_GRADIENTS.keys()
