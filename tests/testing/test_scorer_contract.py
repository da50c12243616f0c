"""The contract itself: a ten-line scorer keeps it, and each broken promise fails the test of that promise."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from headprune import Expense, LayerRater, RateItem, ScoreItem, Scorer
from headprune.testing import LayerRaterContract, ScorerContract


class SharedWords(Scorer):
    """The share of words that caption and reference have in common, 0 to 1."""

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        return [self.one(item) for item in batch]

    def one(self, item: ScoreItem) -> float:
        ours, theirs = set(item.caption.split()), set(item.reference.split())
        return len(ours & theirs) / len(ours | theirs) if ours or theirs else 1.0


class TestSharedWords(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return SharedWords()


class GoldAndPicture(SharedWords):
    """Needs everything, counts a distance, and opens the picture."""

    needs = frozenset({"gold", "picture"})
    higher_is_better = False

    def one(self, item: ScoreItem) -> float:
        assert item.picture is not None and item.picture().mode == "RGB"
        return 1.0 - max(SharedWords.one(self, ScoreItem(item.caption, gold)) for gold in item.gold)


class TestGoldAndPicture(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return GoldAndPicture()


class OneTooMany(SharedWords):
    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        return [*super().score(batch), 0.0]


class NotANumber(SharedWords):
    def one(self, item: ScoreItem) -> float:
        return super().one(item) if item.caption.strip() else float("nan")


class WholeNumbers(SharedWords):
    def one(self, item: ScoreItem) -> float:
        return int(super().one(item))


class Drifting(SharedWords):
    calls = itertools.count()

    def one(self, item: ScoreItem) -> float:
        return super().one(item) + next(self.calls)


class BatchMean(SharedWords):
    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        scores = super().score(batch)
        return [score - sum(scores) / len(scores) for score in scores]


class Sorting(SharedWords):
    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        return sorted(super().score(batch))


class EmptyFails(SharedWords):
    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        return [max(super().score(batch)) for _ in batch] if batch else [0.0]


class Backwards(SharedWords):
    def one(self, item: ScoreItem) -> float:
        return -super().one(item)


class Distance(SharedWords):
    higher_is_better = False


class PeeksAtGold(SharedWords):
    def one(self, item: ScoreItem) -> float:
        try:
            return super().one(ScoreItem(item.caption, item.gold[0]))
        except AssertionError:
            return 0.0


class PeeksAtPicture(SharedWords):
    def one(self, item: ScoreItem) -> float:
        return super().one(item) + (item.picture().width if item.picture else 0)


class NeedsTheMoon(SharedWords):
    needs = frozenset({"moon"})


class FirstSeen(SharedWords):
    first = ""

    def fit(self, gold: Sequence[Sequence[str]]) -> None:
        self.first = gold[0][0]

    def one(self, item: ScoreItem) -> float:
        return super().one(ScoreItem(item.caption, self.first))


class Accumulating(SharedWords):
    seen = 0

    def fit(self, gold: Sequence[Sequence[str]]) -> None:
        self.seen += len(gold)

    def one(self, item: ScoreItem) -> float:
        return super().one(item) * self.seen


class SortsGold(SharedWords):
    needs = frozenset({"gold"})

    def one(self, item: ScoreItem) -> float:
        item.gold.sort()  # type: ignore[attr-defined]
        return super().one(item)


class SortsWhatItFits(SharedWords):
    def fit(self, gold: Sequence[Sequence[str]]) -> None:
        gold.sort()  # type: ignore[attr-defined]


class EmptiesTheBatch(SharedWords):
    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        scores = super().score(batch)
        batch.reverse()  # type: ignore[attr-defined]
        return scores


class DescribesASet(SharedWords):
    def describe(self) -> dict[str, Any]:
        return {"words": {"a"}}


class DescribesItsCalls(SharedWords):
    calls = 0

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        self.calls += 1
        return super().score(batch)

    def describe(self) -> dict[str, Any]:
        return {"calls": self.calls}


class TakesAnything(SharedWords):
    @classmethod
    def configured(cls, options: dict[str, Any]) -> Any:
        return cls()


BROKEN: list[tuple[type[Scorer], str]] = [
    (OneTooMany, "test_one_finite_float_per_item"),
    (NotANumber, "test_one_finite_float_per_item"),
    (WholeNumbers, "test_one_finite_float_per_item"),
    (Drifting, "test_deterministic"),
    (BatchMean, "test_batch_equals_one_by_one"),
    (Sorting, "test_order_does_not_matter"),
    (EmptyFails, "test_empty_batch"),
    (Backwards, "test_direction"),
    (Distance, "test_direction"),
    (PeeksAtGold, "test_needs_are_declared"),
    (PeeksAtPicture, "test_needs_are_declared"),
    (NeedsTheMoon, "test_needs_are_declared"),
    (FirstSeen, "test_fit_does_not_depend_on_order"),
    (Accumulating, "test_fit_does_not_depend_on_order"),
    (SortsGold, "test_leaves_its_arguments_alone"),
    (SortsWhatItFits, "test_leaves_its_arguments_alone"),
    (EmptiesTheBatch, "test_leaves_its_arguments_alone"),
    (DescribesItsCalls, "test_describe_is_json_and_stable"),
]


@pytest.mark.parametrize(("broken", "promise"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_promise_fails(broken: type[Scorer], promise: str) -> None:
    with pytest.raises(AssertionError):
        getattr(ScorerContract(), promise)(broken())


def test_a_failing_caption_fails() -> None:
    with pytest.raises(AssertionError):
        ScorerContract().test_any_caption(NotANumber(), "  ")


class Rater(LayerRater):
    criteria = ("length",)

    def rate(self, batch: Sequence[RateItem]) -> list[list[list[float]]]:
        return [[[self.one_caption(caption)] for caption in item.captions] for item in batch]

    def one_caption(self, caption: str) -> float:
        return min(1.0 + len(caption) / 20, 5.0)

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        return SharedWords().score(batch)


class TestRater(LayerRaterContract):
    @pytest.fixture
    def scorer(self) -> LayerRater:
        return Rater()


class FromZero(Rater):
    def one_caption(self, caption: str) -> float:
        return super().one_caption(caption) - 1


class OneLayerShort(Rater):
    def rate(self, batch: Sequence[RateItem]) -> list[list[list[float]]]:
        return [rows[:-1] for rows in super().rate(batch)]


class Ranks(Rater):
    def rate(self, batch: Sequence[RateItem]) -> list[list[list[float]]]:
        longest = max(len(caption) for item in batch for caption in item.captions)
        return [[[1 + 4 * len(caption) / longest] for caption in item.captions] for item in batch]


class Nameless(Rater):
    criteria = ("",)


class Flat(Rater):
    def expense(self, calls: int, captions: int) -> Expense | None:
        return Expense("someone", 1, 0, 10, 10, None)


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (FromZero, "test_ratings_are_from_1_to_5"),
        (OneLayerShort, "test_ratings_are_from_1_to_5"),
        (Ranks, "test_a_pictures_ratings_do_not_depend_on_other_pictures"),
        (Nameless, "test_criteria_have_names"),
        (Flat, "test_what_it_would_cost_grows_with_what_is_asked"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_raters_broken_promise_fails(broken: type[LayerRater], promise: str) -> None:
    with pytest.raises(AssertionError):
        getattr(LayerRaterContract(), promise)(broken())


def test_what_json_cannot_hold_fails() -> None:
    with pytest.raises(TypeError):
        ScorerContract().test_describe_is_json_and_stable(DescribesASet())


def test_an_option_taken_in_silence_fails() -> None:
    with pytest.raises(pytest.fail.Exception):
        ScorerContract().test_unknown_option_is_refused(TakesAnything())
