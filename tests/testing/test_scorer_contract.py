"""The contracts of scorers of captions: right ones keep them, and each promise has a scorer that breaks it alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest

from headprune import Expense, LayerRater, RateItem, ScoreItem, Scorer
from headprune.testing import LayerRaterContract, ScorerContract
from tests.support.contracts import assert_breaks_only, each, promises


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


class ScoresEachOnce(SharedWords):
    """Keeps scores in a dict by caption and reference: what comes twice is scored once."""

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        return list({(item.caption, item.reference): self.one(item) for item in batch}.values())


class InATuple(SharedWords):
    """Gives a tuple of scores where there are any."""

    def score(self, batch: Sequence[ScoreItem]) -> Any:
        return tuple(super().score(batch)) if batch else []


class DividesByPairs(SharedWords):
    """Is NaN of one word: it divides by the number of pairs of neighbours, and asks whether there are words."""

    def one(self, item: ScoreItem) -> float:
        words = re.findall("[a-z]+", item.caption)
        return super().one(item) if len(words) != 1 else float("nan")


class WholeNumbers(SharedWords):
    """Gives an int."""

    def one(self, item: ScoreItem) -> float:
        return int(super().one(item))


class TiresOfABatch(SharedWords):
    """Lowers the scores of a batch that it has scored before, and forgets that with the next `fit`."""

    def fit(self, gold: Sequence[Sequence[str]]) -> None:
        self.seen: list[list[str]] = []

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        captions = [item.caption for item in batch]
        before = self.seen.count(captions)
        self.seen.append(captions)
        return [score - before for score in super().score(batch)]


class AgainstTheMean(SharedWords):
    """Subtracts the batch's mean."""

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        scores = super().score(batch)
        return [score - sum(scores) / len(scores) for score in scores]


class InOrderOfLength(SharedWords):
    """Sorts the batch by length, as those do who pad, and forgets to sort the scores back."""

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        return super().score(sorted(batch, key=lambda item: len(item.caption)) if len(batch) > 3 else batch)


class SomethingOfNothing(SharedWords):
    """Gives a score where there is no item."""

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        return super().score(batch) or [0.0]


class WesternOnly(SharedWords):
    """Encodes captions as Latin-1."""

    def one(self, item: ScoreItem) -> float:
        return super().one(item) if item.caption.encode("latin-1") is not None else 0.0


class BlankIsNotEmpty(SharedWords):
    """Takes a caption's first word where the caption is not empty; a blank one has none."""

    def one(self, item: ScoreItem) -> float:
        return float(item.caption.split()[0] in item.reference) if item.caption else 0.0


class ShortSighted(SharedWords):
    """Knows 512 positions."""

    def one(self, item: ScoreItem) -> float:
        positions = list(range(512))
        return super().one(item) + 0 * sum(positions[at] for at, _ in enumerate(item.caption.split()))


class Backwards(SharedWords):
    """Scores the opposite of what it declares."""

    def one(self, item: ScoreItem) -> float:
        return -super().one(item)


class CallsItADistance(SharedWords):
    """Declares the opposite of what it scores."""

    higher_is_better = False


class NeedsTheMoon(SharedWords):
    """Needs what there is not."""

    needs = frozenset({"moon"})


class PeeksAtGold(SharedWords):
    """Uses gold captions where it finds some, undeclared."""

    def one(self, item: ScoreItem) -> float:
        try:
            return super().one(ScoreItem(item.caption, item.gold[0]))
        except AssertionError:
            return 0.0


class PeeksAtThePicture(SharedWords):
    """Uses the picture where it finds one, undeclared."""

    def one(self, item: ScoreItem) -> float:
        return super().one(item) + (item.picture().width if item.picture else 0)


class AgainstTheFirst(SharedWords):
    """Scores against the first gold caption it saw."""

    first = ""

    def fit(self, gold: Sequence[Sequence[str]]) -> None:
        self.first = gold[0][0]

    def one(self, item: ScoreItem) -> float:
        return super().one(item) + super().one(ScoreItem(item.caption, self.first)) / 2


class NeverForgets(SharedWords):
    """Adds to the words it knows at each `fit`."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.known: set[str] = set()

    def fit(self, gold: Sequence[Sequence[str]]) -> None:
        self.known |= {word for captions in gold for caption in captions for word in caption.split()}

    def one(self, item: ScoreItem) -> float:
        return super().one(item) / (1 + len(self.known))


class SortsGold(SharedWords):
    """Sorts an item's gold captions in place."""

    needs = frozenset({"gold"})

    def one(self, item: ScoreItem) -> float:
        item.gold.sort()  # type: ignore[attr-defined]
        return super().one(item)


class SortsWhatItFits(SharedWords):
    """Sorts the gold captions that `fit` sees in place."""

    def fit(self, gold: Sequence[Sequence[str]]) -> None:
        gold.sort()  # type: ignore[attr-defined]


class TurnsTheBatchAround(SharedWords):
    """Reverses the batch in place."""

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        scores = super().score(batch)
        batch.reverse()  # type: ignore[attr-defined]
        return scores


class DescribesASet(SharedWords):
    """Describes itself with what JSON does not have."""

    def describe(self) -> dict[str, Any]:
        return {"words": {"a"}}


class DescribesItsCalls(SharedWords):
    """Describes what it has done, which determines no score."""

    calls = 0

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        self.calls += 1
        return super().score(batch)

    def describe(self) -> dict[str, Any]:
        return {"calls": self.calls}


class Chatty(SharedWords):
    """Prints what it scores."""

    def one(self, item: ScoreItem) -> float:
        print(item.caption)
        return super().one(item)


class TakesAnything(SharedWords):
    """Ignores options that it does not know."""

    @classmethod
    def configured(cls, options: dict[str, Any]) -> Any:
        return cls()


WRONG: dict[str, tuple[type[Scorer], ...]] = {
    "test_one_score_per_item": (ScoresEachOnce, InATuple),
    "test_scores_are_finite_floats": (DividesByPairs, WholeNumbers),
    "test_deterministic": (TiresOfABatch,),
    "test_batch_equals_one_by_one": (AgainstTheMean, InOrderOfLength),
    "test_empty_batch": (SomethingOfNothing,),
    "test_any_caption": (WesternOnly, BlankIsNotEmpty, ShortSighted),
    "test_direction": (Backwards, CallsItADistance),
    "test_needs_are_known": (NeedsTheMoon,),
    "test_only_what_is_needed_is_used": (PeeksAtGold, PeeksAtThePicture),
    "test_fit_does_not_depend_on_order": (AgainstTheFirst,),
    "test_a_second_fit_replaces_the_first": (NeverForgets,),
    "test_leaves_its_arguments_alone": (SortsGold, SortsWhatItFits, TurnsTheBatchAround),
    "test_describe_is_json": (DescribesASet,),
    "test_scoring_does_not_change_what_it_describes": (DescribesItsCalls,),
    "test_unknown_option_is_refused": (TakesAnything,),
    "test_prints_nothing": (Chatty,),
}


@pytest.mark.parametrize(("promise", "culprit"), each(WRONG))
def test_a_broken_promise_fails_its_test_and_no_other(promise: str, culprit: type[Scorer]) -> None:
    assert_breaks_only(promise, ScorerContract, scorer=culprit)


def test_each_promise_has_a_scorer_that_breaks_it() -> None:
    assert promises(ScorerContract) == WRONG.keys()


class LengthRater(SharedWords, LayerRater):
    """Rates captions by their length, and scores them by the words they share."""

    criteria = ("length",)

    def rate(self, batch: Sequence[RateItem]) -> list[list[list[float]]]:
        return [[[self.rating(caption)] for caption in item.captions] for item in batch]

    def rating(self, caption: str) -> float:
        return min(1.0 + len(caption) / 20, 5.0)


class TestLengthRater(LayerRaterContract):
    @pytest.fixture
    def scorer(self) -> LayerRater:
        return LengthRater()


class Nameless(LengthRater):
    """Has a criterion without a name."""

    criteria = ("",)


class NamesakeCriteria(LengthRater):
    """Rates by two criteria of one name."""

    criteria = ("length", "length")

    def rate(self, batch: Sequence[RateItem]) -> list[list[list[float]]]:
        return [[row * 2 for row in rows] for rows in super().rate(batch)]


class OneLayerShort(LengthRater):
    """Leaves a picture's last layer out."""

    def rate(self, batch: Sequence[RateItem]) -> list[list[list[float]]]:
        return [rows[:-1] for rows in super().rate(batch)]


class FromZero(LengthRater):
    """Rates from 0 to 4."""

    def rating(self, caption: str) -> float:
        return super().rating(caption) - 1


class AgainstTheLongest(LengthRater):
    """Rates against the longest caption of all pictures."""

    def rate(self, batch: Sequence[RateItem]) -> list[list[list[float]]]:
        longest = max((len(caption) for item in batch for caption in item.captions), default=1)
        return [[[1 + 4 * len(caption) / longest] for caption in item.captions] for item in batch]


class RatesNothing(LengthRater):
    """Rates a picture that is not there."""

    def rate(self, batch: Sequence[RateItem]) -> list[list[list[float]]]:
        return super().rate(batch) or [[]]


class RatesWithGold(LengthRater):
    """Rates with gold captions, undeclared; scores without."""

    def rate(self, batch: Sequence[RateItem]) -> list[list[list[float]]]:
        return super().rate([item for item in batch if len(item.gold) < 1000])


class FlatRate(LengthRater):
    """Costs the same whatever is asked."""

    def expense(self, calls: int, captions: int) -> Expense | None:
        return Expense("someone", 1, 0, 10, 10, None)


class FirstOneFree(LengthRater):
    """Says that the first call costs nothing."""

    def expense(self, calls: int, captions: int) -> Expense | None:
        return Expense("someone", calls, 0, calls, calls, None) if calls > 1 else None


def as_rater(scorer: type[Scorer]) -> type[LayerRater]:
    """The same fault in a scorer that also rates."""
    return type(scorer.__name__, (scorer, LengthRater), {"__doc__": scorer.__doc__})


WRONG_RATERS: dict[str, tuple[type[LayerRater], ...]] = {
    **{promise: tuple(map(as_rater, scorers)) for promise, scorers in WRONG.items()},
    "test_criteria_have_names": (Nameless, NamesakeCriteria),
    "test_one_rating_per_layer_and_criterion": (OneLayerShort,),
    "test_ratings_are_from_1_to_5": (FromZero,),
    "test_a_pictures_ratings_do_not_depend_on_other_pictures": (AgainstTheLongest,),
    "test_no_pictures_no_ratings": (RatesNothing,),
    "test_rating_uses_only_what_is_needed": (RatesWithGold,),
    "test_what_it_would_cost_grows_with_what_is_asked": (FlatRate, FirstOneFree),
}


@pytest.mark.parametrize(("promise", "culprit"), each(WRONG_RATERS))
def test_a_raters_broken_promise_fails_its_test_and_no_other(promise: str, culprit: type[LayerRater]) -> None:
    assert_breaks_only(promise, LayerRaterContract, scorer=culprit)


def test_each_promise_has_a_rater_that_breaks_it() -> None:
    assert promises(LayerRaterContract) == WRONG_RATERS.keys()
