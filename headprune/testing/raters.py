"""What every rater of layers promises, beside what every scorer does."""

from __future__ import annotations

import math

import pytest

from headprune.hooks.kinds import LayerRater
from headprune.testing.scorers import ScorerContract, any_gold, any_picture
from headprune.types import RateItem


class LayerRaterContract(ScorerContract):
    """Subclass it as `Test...` and override the fixture `scorer` with one that is a `LayerRater`."""

    @pytest.fixture
    def scorer(self) -> LayerRater:
        """The rater under test, new, with settings that work offline."""
        raise NotImplementedError("override the fixture `scorer`")

    def test_criteria_have_names(self, scorer: LayerRater) -> None:
        """One criterion at least, each with a name of its own."""
        assert scorer.criteria and len(set(scorer.criteria)) == len(scorer.criteria) and all(scorer.criteria)

    def test_ratings_are_from_1_to_5(self, scorer: LayerRater) -> None:
        """[n][layers][criteria], also of empty, long and non-Latin captions."""
        items = _items(scorer)
        ratings = scorer.rate(items)
        assert [[len(row) for row in rows] for rows in ratings] == [
            [len(scorer.criteria)] * len(item.captions) for item in items
        ]
        assert all(math.isfinite(rating) and 1 <= rating <= 5 for rows in ratings for row in rows for rating in row)

    def test_a_pictures_ratings_do_not_depend_on_other_pictures(self, scorer: LayerRater) -> None:
        """Ratings follow their items, and come out again."""
        items = _items(scorer)
        ratings = scorer.rate(items)
        assert [scorer.rate([item])[0] for item in items] == ratings
        assert scorer.rate(items[::-1])[::-1] == ratings

    def test_no_pictures_no_ratings(self, scorer: LayerRater) -> None:
        """Nothing is made of nothing."""
        assert scorer.rate([]) == []

    def test_what_it_would_cost_grows_with_what_is_asked(self, scorer: LayerRater) -> None:
        """`expense` is None, or counts calls and tokens."""
        one, many = scorer.expense(1, 1), scorer.expense(3, 4)
        assert (one is None) == (many is None)
        if one and many:
            assert one.calls <= 1 and many.calls <= 3 and 0 < one.tokens_in < many.tokens_in
            assert 0 < one.tokens_out < many.tokens_out and one.repeats >= 0 and one.service


def _items(scorer: LayerRater) -> list[RateItem]:
    """Pictures with captions of five, two and one layers."""
    said = (
        ("a thing", "a dog", "a brown dog", "a brown dog runs over the wet sand", "狗"),
        ("", "two men play chess " * 40),
        ("a red bus",),
    )
    return [
        RateItem(
            captions,
            tuple(range(2, 2 + len(captions))),
            captions[-1],
            any_gold(number),
            any_picture if "picture" in scorer.needs else None,
            f"sample {number}",
        )
        for number, captions in enumerate(said)
    ]
