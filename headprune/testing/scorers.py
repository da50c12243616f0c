"""What every scorer promises, as tests that a plugin author inherits."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import ClassVar, overload

import pytest
from PIL import Image

from headprune.errors import UsageError
from headprune.hooks.kinds import Scorer
from headprune.testing.contract import Contract
from headprune.types import ScoreItem

_GOLD: tuple[tuple[str, ...], ...] = (
    ("a brown dog runs over the wet sand", "a dog is running on a beach"),
    ("two men play chess in a park", "a pair of men sit at a chess board outside"),
    ("a red bus waits at the corner of a street", "a big red bus parked by a sidewalk"),
    ("a bowl of soup next to some bread", "soup and bread on a wooden table"),
    ("a child holds a kite above the hill", "a little girl is flying a kite"),
)
_FOREIGN = "several orange boats float near an old stone bridge"
_EMPTY = ("", "   ")
_ODD = ("一只狗在沙滩上跑", "собака бежит по пляжу", "كلب يجري على الشاطئ", "🐕🏖", "a dog\u2028on\ta\nbeach")
_LONG = "a dog runs over the wet sand and then " * 80  # beyond the 512 tokens of most text encoders


def _short(caption: str) -> str:
    return caption[:20]


class ScorerContract(Contract):
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

    def test_one_finite_float_per_item(self, scorer: Scorer) -> None:
        """As many scores as items, in a list, each a finite float."""
        items = _items(scorer)
        scores = _fitted(scorer).score(items)
        assert isinstance(scores, list)
        assert len(scores) == len(items)
        assert all(isinstance(score, float) and math.isfinite(score) for score in scores), scores

    def test_deterministic(self, scorer: Scorer) -> None:
        """The same items get the same scores again."""
        items = _items(scorer)
        _fitted(scorer)
        self._assert_equal(scorer.score(items), scorer.score(items))

    def test_batch_equals_one_by_one(self, scorer: Scorer) -> None:
        """An item's score does not depend on the items it is scored with."""
        items = _items(scorer)
        alone = [_fitted(scorer).score([item])[0] for item in items]
        self._assert_equal(_fitted(scorer).score(items), alone)

    def test_order_does_not_matter(self, scorer: Scorer) -> None:
        """Scores follow their items when the batch is reversed or holds an item twice."""
        items = _items(scorer)
        scores = _fitted(scorer).score(items)
        self._assert_equal(scorer.score(items[::-1])[::-1], scores)
        self._assert_equal(scorer.score([items[0], items[1], items[0]]), [scores[0], scores[1], scores[0]])

    def test_empty_batch(self, scorer: Scorer) -> None:
        """No items, no scores."""
        assert _fitted(scorer).score([]) == []

    @pytest.mark.parametrize("caption", [*_EMPTY, *_ODD, _LONG], ids=_short)
    def test_any_caption(self, scorer: Scorer, caption: str) -> None:
        """Empty, blank, very long and non-Latin captions get a finite score, as the caption and as the reference."""
        ordinary = _GOLD[0][0]
        items = [
            _item(scorer, caption, ordinary, _GOLD[0]),
            _item(scorer, ordinary, caption, (caption, ordinary)),
            _item(scorer, caption, caption, (caption, ordinary)),
        ]
        scores = _fitted(scorer).score(items)
        assert len(scores) == len(items)
        assert all(math.isfinite(score) for score in scores), scores

    def test_direction(self, scorer: Scorer) -> None:
        """A caption equal to its reference and gold scores at least as well as one about another picture."""
        gold = _GOLD[0][:1]
        items = [_item(scorer, caption, gold[0], gold) for caption in (gold[0], _FOREIGN)]
        perfect, foreign = _fitted(scorer).score(items)
        if type(scorer).higher_is_better:
            assert perfect >= foreign - self.tolerance
        else:
            assert perfect <= foreign + self.tolerance

    def test_needs_are_declared(self, scorer: Scorer) -> None:
        """Gold captions and the picture stay untouched unless `needs` names them; `needs` names nothing else."""
        assert type(scorer).needs <= {"gold", "picture"}
        untouchable = _Untouchable()
        items = [
            ScoreItem(
                caption=caption,
                reference=gold[0],
                gold=list(gold) if "gold" in scorer.needs else untouchable,
                picture=any_picture if "picture" in scorer.needs else untouchable.picture,
                sample="untouched",
            )
            for caption, gold in zip(_captions(), _GOLD, strict=True)
        ]
        _fitted(scorer).score(items)
        assert not untouchable.touched, f"{untouchable.touched} was used and is not in `needs`"

    def test_fit_does_not_depend_on_order(self, scorer: Scorer) -> None:
        """A second `fit` replaces the first, and the order of the gold captions it sees does not matter."""
        items = _items(scorer)
        scores = _fitted(scorer).score(items)
        scorer.fit([list(gold) for gold in _GOLD[::-1]])
        self._assert_equal(scorer.score(items), scores)

    def test_leaves_its_arguments_alone(self, scorer: Scorer) -> None:
        """Neither the batch, nor an item's gold captions, nor what `fit` saw is changed."""
        seen = [list(gold) for gold in _GOLD]
        scorer.fit(seen)
        assert seen == [list(gold) for gold in _GOLD]
        items = _items(scorer)
        given = list(items)
        scorer.score(given)
        assert len(given) == len(items) and all(one is other for one, other in zip(given, items, strict=True))
        assert [list(item.gold) for item in items] == [list(item.gold) for item in _items(scorer)]

    def test_describe_is_json_and_stable(self, scorer: Scorer) -> None:
        """`describe` can be written into a patch, and scoring does not change it."""
        before = json.dumps(_fitted(scorer).describe(), allow_nan=False, sort_keys=True)
        scorer.score(_items(scorer))
        assert json.dumps(scorer.describe(), allow_nan=False, sort_keys=True) == before

    def test_unknown_option_is_refused(self, scorer: Scorer) -> None:
        """An option that the scorer does not know ends in a usage error, not in silence."""
        with pytest.raises(UsageError, match="no_such_option"):
            type(scorer).configured({"no_such_option": "1"})

    def _assert_equal(self, found: Sequence[float], wanted: Sequence[float]) -> None:
        assert list(found) == pytest.approx(list(wanted), abs=self.tolerance, rel=0.0)


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


class _Untouchable(Sequence[str]):
    """Gold captions and a picture that remember being used, even where the scorer swallows the error."""

    def __init__(self) -> None:
        self.touched = ""

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        raise self._used("gold")

    def __len__(self) -> int:
        raise self._used("gold")

    def __iter__(self) -> Iterator[str]:
        raise self._used("gold")

    def __contains__(self, value: object) -> bool:
        raise self._used("gold")

    def picture(self) -> Image.Image:
        raise self._used("picture")

    def _used(self, what: str) -> AssertionError:
        self.touched = what
        return AssertionError(f"`{what}` was used, and `needs` does not name it")
