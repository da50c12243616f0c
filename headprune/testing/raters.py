"""What every rater of layers promises, beside what every scorer does."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from headprune.hooks.kinds import LayerRater
from headprune.testing.scorers import ScorerContract, Untouchable, any_gold, any_picture
from headprune.types import RateItem


class LayerRaterContract(ScorerContract):
    """Subclass it as `Test...` and override the fixture `scorer` with one that is a `LayerRater`."""

    @pytest.fixture
    def scorer(self) -> LayerRater:
        """The rater under test, new, with settings that work offline."""
        raise NotImplementedError("override the fixture `scorer`")

    def test_criteria_have_names(self, scorer: LayerRater) -> None:
        """One criterion at least, each with a name of its own."""
        names = scorer.criteria
        assert names and all(names) and len(set(names)) == len(names), f"the criteria are {names!r}"

    def test_one_rating_per_layer_and_criterion(self, scorer: LayerRater) -> None:
        """As many ratings as pictures, layers and criteria: [n][layers][criteria]."""
        items = _items(scorer)
        found = [[len(row) for row in rows] for rows in scorer.rate(items)]
        wanted = [[len(scorer.criteria)] * len(item.captions) for item in items]
        assert found == wanted, f"ratings of the layers of each picture: {found}, not {wanted}"

    def test_ratings_are_from_1_to_5(self, scorer: LayerRater) -> None:
        """Each rating is a number from 1 to 5, also of empty, long and non-Latin captions."""
        ratings = [rating for rows in scorer.rate(_items(scorer)) for row in rows for rating in row]
        outside = [rating for rating in ratings if not (math.isfinite(rating) and 1 <= rating <= 5)]
        assert not outside, f"ratings of {outside}"

    def test_a_pictures_ratings_do_not_depend_on_other_pictures(self, scorer: LayerRater) -> None:
        """A picture is rated the same alone and among others, wherever it stands among them."""
        items = _items(scorer)
        together = scorer.rate(list(items))
        alone = [scorer.rate([item])[0] for item in items]
        assert together == alone, f"{together} together, {alone} alone"
        turned = scorer.rate(items[::-1])[::-1]
        assert turned == alone, f"{turned} together, the last one first, {alone} alone"

    def test_no_pictures_no_ratings(self, scorer: LayerRater) -> None:
        """Nothing is made of nothing."""
        ratings = scorer.rate([])
        assert ratings == [], f"{ratings!r} of no pictures"

    def test_rating_uses_only_what_is_needed(self, scorer: LayerRater) -> None:
        """`rate` leaves gold captions and the picture untouched unless `needs` names them."""
        untouchable = Untouchable(scorer)
        items = [
            replace(item, gold=untouchable.gold_or(item.gold), picture=untouchable.open_picture)
            for item in _items(scorer)
        ]
        scorer.rate(items)
        untouchable.assert_untouched()

    def test_what_it_would_cost_grows_with_what_is_asked(self, scorer: LayerRater) -> None:
        """`expense` is None whatever is asked, or counts calls and tokens."""
        one, many = scorer.expense(1, 1), scorer.expense(3, 4)
        asked = f"for a caption {one}, for three times four captions {many}"
        assert (one is None) == (many is None), asked
        if one and many:
            assert one.calls <= 1 and many.calls <= 3 and one.repeats >= 0 and one.service, asked
            assert 0 < one.tokens_in < many.tokens_in and 0 < one.tokens_out < many.tokens_out, asked


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
