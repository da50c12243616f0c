"""What every scorer promises, as tests that a plugin author inherits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import ClassVar, overload

import pytest
from PIL import Image

from headprune.hooks.kinds import SCORER_NEEDS, AnyScorer, Scorer
from headprune.testing.contract import Contract, assert_nothing_printed, assert_unknown_option_is_refused
from headprune.types import ScoreItem

_GOLD: tuple[tuple[str, ...], ...] = (
    ("a brown dog runs over the wet sand", "a dog is running on a beach"),
    ("two men play chess in a park", "a pair of men sit at a chess board outside"),
    ("a red bus waits at the corner of a street", "a big red bus parked by a sidewalk"),
    ("a bowl of soup next to some bread", "soup and bread on a wooden table"),
    ("a child holds a kite above the hill", "a little girl is flying a kite"),
)
_FOREIGN = "several orange boats float near an old stone bridge"
_OTHER_GOLD = ((_FOREIGN, "boats by a bridge"), ("a cat sleeps on a chair", "a sleeping cat"))
_ODD = {
    "empty": "",
    "blank": "   ",
    "Chinese": "一只狗在沙滩上跑",
    "Russian": "собака бежит по пляжу",
    "Arabic": "كلب يجري على الشاطئ",
    "emoji": "🐕🏖",
    "line ends": "a dog\u2028on\ta\nbeach",
    "very long": "a dog runs over the wet sand and then " * 80,  # beyond the 512 tokens of most text encoders
}


class AnyScorerContract(Contract):
    """What scorers of all kinds promise."""

    def test_describe_is_json(self, scorer: AnyScorer) -> None:
        """`describe` can be written into a patch."""
        assert isinstance(scorer.describe(), dict), "`describe` is no dict"
        json.dumps(scorer.describe(), allow_nan=False)

    def test_unknown_option_is_refused(self, scorer: AnyScorer) -> None:
        """An option that the scorer does not know ends in a usage error, not in silence."""
        assert_unknown_option_is_refused(type(scorer))


class ScorerContract(AnyScorerContract):
    """Subclass it as `Test...` and override the fixture `scorer`.

    Attributes:
        tolerance: by how much two scores that ought to be equal may differ. Raise it only for a scorer whose
            arithmetic depends on the size of a batch, such as a neural network's.
    """

    tolerance: ClassVar[float] = 1e-9

    @pytest.fixture
    def scorer(self) -> Scorer:
        """The scorer under test, new, with settings that work offline; not yet fitted."""
        raise NotImplementedError("override the fixture `scorer`")

    def test_one_score_per_item(self, scorer: Scorer) -> None:
        """As many scores as items, in a list, also where an item comes twice."""
        items = _items(scorer)
        scores = _fitted(scorer).score([*items, items[0]])
        assert isinstance(scores, list), f"a {type(scores).__name__} is no list"
        assert len(scores) == len(items) + 1, f"{len(scores)} scores for {len(items) + 1} items"

    def test_scores_are_finite_floats(self, scorer: Scorer) -> None:
        """Each score is a finite Python float."""
        scores = _fitted(scorer).score(_items(scorer))
        assert all(isinstance(score, float) for score in scores), f"not all of {scores!r} are floats"
        assert all(math.isfinite(score) for score in scores), f"not all of {scores!r} are finite"

    def test_deterministic(self, scorer: Scorer) -> None:
        """The same items get the same scores again."""
        _fitted(scorer)
        first, again = scorer.score(_items(scorer)), scorer.score(_items(scorer))
        self._assert_equal(again, first, "at first and again")

    def test_batch_equals_one_by_one(self, scorer: Scorer) -> None:
        """An item's score does not depend on the items it is scored with, nor on where it stands among them."""
        items = _items(scorer)
        together = _fitted(scorer).score(list(items))
        alone = [score for item in items for score in _scores(scorer, [item])]
        self._assert_equal(together, alone, "alone and together")
        self._assert_equal(scorer.score(items[::-1])[::-1], alone, "alone and together, the last one first")

    def test_empty_batch(self, scorer: Scorer) -> None:
        """No items, no scores."""
        scores = _fitted(scorer).score([])
        assert scores == [], f"{scores!r} of no items"

    @pytest.mark.parametrize("caption", _ODD.values(), ids=_ODD.keys())
    def test_any_caption(self, scorer: Scorer, caption: str) -> None:
        """Empty, blank, very long and non-Latin captions get a finite score, as the caption and as the reference."""
        ordinary = _GOLD[0][0]
        items = [
            _item(scorer, caption, ordinary, _GOLD[0]),
            _item(scorer, ordinary, caption, (caption, ordinary)),
            _item(scorer, caption, caption, (caption, ordinary)),
        ]
        scores = _scores(_fitted(scorer), items)
        finite = all(math.isfinite(score) for score in scores)
        assert finite, f"as the caption it scores {scores[0]}, as the reference {scores[1]}, as both {scores[2]}"

    def test_direction(self, scorer: Scorer) -> None:
        """A caption equal to its reference and gold scores at least as well as one about another picture."""
        gold = _GOLD[0][:1]
        items = [_item(scorer, caption, gold[0], gold) for caption in (gold[0], _FOREIGN)]
        perfect, foreign = _scores(_fitted(scorer), items)
        sign = 1 if scorer.higher_is_better else -1
        assert not sign * (perfect - foreign) < -self.tolerance, (
            f"{perfect} where caption and gold are equal, {foreign} where the caption is about another picture, "
            f"and higher_is_better is {scorer.higher_is_better}"
        )

    def test_needs_are_known(self, scorer: Scorer) -> None:
        """`needs` names gold captions and the picture at most."""
        unknown = sorted(scorer.needs - SCORER_NEEDS)
        assert not unknown, f"nothing called {', '.join(unknown)} is ever given: there are gold and picture"

    def test_only_what_is_needed_is_used(self, scorer: Scorer) -> None:
        """Gold captions and the picture stay untouched unless `needs` names them."""
        untouchable = Untouchable(scorer)
        items = [
            ScoreItem(caption, gold[0], untouchable.gold_or(gold), untouchable.open_picture, sample="untouched")
            for caption, gold in zip(_captions(), _GOLD, strict=True)
        ]
        _fitted(scorer).score(items)
        untouchable.assert_untouched()

    def test_fit_does_not_depend_on_order(self, scorer: Scorer) -> None:
        """The order of the gold captions that `fit` sees does not matter."""
        scores = _fitted(scorer).score(_items(scorer))
        scorer.fit([list(gold) for gold in _GOLD[::-1]])
        self._assert_equal(scorer.score(_items(scorer)), scores, "after one order and after another")

    def test_a_second_fit_replaces_the_first(self, scorer: Scorer) -> None:
        """What `fit` saw before the last time does not matter."""
        scores = _fitted(scorer).score(_items(scorer))
        scorer.fit([list(gold) for gold in _OTHER_GOLD])
        self._assert_equal(_fitted(scorer).score(_items(scorer)), scores, "before and after seeing other gold captions")

    def test_leaves_its_arguments_alone(self, scorer: Scorer) -> None:
        """Neither the batch, nor an item's gold captions, nor what `fit` saw is changed."""
        seen = [list(gold) for gold in _GOLD]
        scorer.fit(seen)
        assert seen == [list(gold) for gold in _GOLD], "`fit` changes the gold captions that it sees"
        items = _items(scorer)
        given = list(items)
        scorer.score(given)
        same = len(given) == len(items) and all(one is other for one, other in zip(given, items, strict=True))
        assert same, "`score` changes the batch"
        gold = [list(item.gold) for item in _items(scorer)]
        assert [list(item.gold) for item in items] == gold, "`score` changes gold captions"

    def test_scoring_does_not_change_what_it_describes(self, scorer: Scorer) -> None:
        """`describe` says the same before and after a batch is scored."""
        before = deepcopy(_fitted(scorer).describe())
        scorer.score(_items(scorer))
        after = scorer.describe()
        assert after == before, f"{before!r} before, {after!r} after"

    def test_prints_nothing(self, scorer: Scorer, capfd: pytest.CaptureFixture[str]) -> None:
        """It prints nothing to stdout, where results go."""
        _fitted(scorer).score(_items(scorer))
        assert_nothing_printed(capfd)

    def _assert_equal(self, found: Sequence[float], wanted: Sequence[float], when: str) -> None:
        """NaN equals NaN: that scores are finite is another promise."""
        close = pytest.approx(list(wanted), abs=self.tolerance, rel=0.0, nan_ok=True)
        assert list(found) == close, f"scores differ {when}: {list(wanted)!r} and {list(found)!r}"


def _scores(scorer: Scorer, items: Sequence[ScoreItem]) -> list[float]:
    """Scores of `items`, one for each."""
    scores = scorer.score(items)
    assert len(scores) == len(items), f"{len(scores)} scores for {len(items)} items"
    return scores


def _captions() -> list[str]:
    """One caption per picture of `_GOLD`: near, equal, foreign, short, and empty."""
    return ["a brown dog on the sand", _GOLD[1][0], _FOREIGN, "soup", ""]


def _items(scorer: Scorer) -> list[ScoreItem]:
    return [_item(scorer, caption, gold[0], gold) for caption, gold in zip(_captions(), _GOLD, strict=True)]


def _item(scorer: Scorer, caption: str, reference: str, gold: Sequence[str]) -> ScoreItem:
    """An item that holds what the scorer needs."""
    picture = any_picture if "picture" in scorer.needs else None
    return ScoreItem(caption, reference, list(gold), picture, sample=gold[-1], layer=0, head=0)


def _fitted(scorer: Scorer) -> Scorer:
    scorer.fit([list(gold) for gold in _GOLD])
    return scorer


def any_gold(number: int) -> tuple[str, ...]:
    """Gold captions of a picture that contracts ask about."""
    return _GOLD[number]


def any_picture() -> Image.Image:
    """A picture that contracts ask about."""
    return Image.new("RGB", (64, 48), (200, 160, 90))


class Untouchable:
    """Gold captions and a picture that remember being used where the scorer does not need them, even where it swallows
    the error."""

    def __init__(self, scorer: Scorer) -> None:
        self._needs = scorer.needs
        self._touched = ""

    def gold_or(self, gold: Sequence[str]) -> Sequence[str]:
        """`gold` where it is needed."""
        return list(gold) if "gold" in self._needs else _UntouchableGold(self)

    def open_picture(self) -> Image.Image:
        """A picture, where one is needed."""
        if "picture" not in self._needs:
            raise self.touch("picture")
        return any_picture()

    def touch(self, what: str) -> AssertionError:
        self._touched = f"`{what}` is used, and `needs` does not name it"
        return AssertionError(self._touched)

    def assert_untouched(self) -> None:
        assert not self._touched, self._touched


class _UntouchableGold(Sequence[str]):
    def __init__(self, owner: Untouchable) -> None:
        self._owner = owner

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        raise self._owner.touch("gold")

    def __len__(self) -> int:
        raise self._owner.touch("gold")

    def __iter__(self) -> Iterator[str]:
        raise self._owner.touch("gold")

    def __contains__(self, value: object) -> bool:
        raise self._owner.touch("gold")
