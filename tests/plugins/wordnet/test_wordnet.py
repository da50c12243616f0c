"""`concreteness`: the contract, how captions are read, and what is more concrete than what."""

from __future__ import annotations

import pytest
from headprune_wordnet.reading import read
from headprune_wordnet.scorer import WordNetConcreteness
from headprune_wordnet.words import look_up

from headprune import LayerRater, RateItem, open_dataset
from headprune.demo.scenes import COLOURS, SHAPES
from headprune.testing import LayerRaterContract


class TestConcretenessContract(LayerRaterContract):
    @pytest.fixture
    def scorer(self) -> LayerRater:
        return WordNetConcreteness()


class TestConcretenessAgainstGoldContract(LayerRaterContract):
    @pytest.fixture
    def scorer(self) -> LayerRater:
        return WordNetConcreteness.configured({"against": "gold"})


@pytest.mark.parametrize(
    ("caption", "things", "details"),
    [
        ("three dotted orange crosses on sand", "cross sand", "three dotted orange"),
        ("a brown dog runs over the wet sand", "dog sand", "brown run wet"),
        ("several orange boats float near an old stone bridge", "boat bridge", "several orange float old stone"),
        ("two men play chess in a park", "man chess park", "two play"),
        ("a red bus waits in front of a fire truck", "bus truck", "red wait fire"),
        ("A man is standing.", "man", "stand"),
        ("a man in a suit and tie standing on snow", "man suit tie snow", "stand"),
        ("the dog is small", "dog", "small"),
        ("a dog, a dog and a dog", "dog", ""),
        ("of the", "", ""),
        ("", "", ""),
        ("собака бежит", "", ""),
    ],
)
def test_captions_are_read(caption: str, things: str, details: str) -> None:
    found = read(caption)
    assert (set(found.things), found.details) == (set(things.split()), set(details.split()))


def test_depth_grows_with_detail_and_a_sense_that_can_be_seen_is_taken() -> None:
    depths = [look_up(word).depth for word in ("object", "animal", "dog", "poodle")]
    assert depths == sorted(set(depths)) and depths[0] == 2
    assert look_up("kite").depth == look_up("plaything").depth + 1  # its first sense is a bank cheque
    assert look_up("geese").noun == "goose" and look_up("running").verb == "run" and not look_up("xyzzy").known


def test_every_shape_of_the_demo_is_a_thing_and_every_colour_a_detail() -> None:
    for shape in SHAPES:
        for colour in COLOURS:
            found = read(f"a {colour} {shape} on sand")
            assert set(found.things) == {shape, "sand"} and found.details == {colour}, (colour, shape)


def ratings(*captions: str, reference: str = "") -> list[list[float]]:
    return WordNetConcreteness().rate([RateItem(captions, tuple(range(len(captions))), reference)])[0]


def test_by_hand() -> None:
    animal, dog, sand = (look_up(word).depth for word in ("animal", "dog", "sand"))
    found = ratings("an animal", "a brown dog on wet sand", "", reference="a brown dog")
    assert found[0] == [2.0, 1 + (animal - 2) / 2, 1.0, 1.0]
    assert found[1] == pytest.approx([3.0, 1 + ((dog + sand) / 2 - 2) / 2, 3.0, 1 + 4 * (2 * 2 / (4 + 2))])
    assert found[2] == [1.0, 1.0, 1.0, 1.0]
    assert ratings("a dog", reference="a dog")[0][3] == 5.0


def test_against_gold_the_gold_caption_that_agrees_best_counts() -> None:
    scorer = WordNetConcreteness.configured({"against": "gold"})
    (ratings,) = scorer.rate([RateItem(("a brown dog", "a cat"), (0, 1), "a cat", ["an old cat", "a brown dog"])])
    assert [row[3] for row in ratings] == pytest.approx([5.0, 1 + 4 * (2 / 3)])
    assert scorer.needs == {"gold"} and not WordNetConcreteness().needs


def test_ratings_stay_within_their_scale() -> None:
    long = "a dog a cat a truck a poodle a violin on red green blue old wet striped snow"
    assert ratings(long)[0][0] == 5.0 and ratings(long)[0][2] == 5.0
    gold = [caption for sample in open_dataset("demo").samples[:50] for caption in sample.captions]
    assert all(1.0 <= rating <= 5.0 for row in ratings(*gold) for rating in row)


def test_vague_captions_of_the_demo_are_less_concrete_than_full_ones() -> None:
    full, vague = ratings("a small dotted pink star on sand", "a warm thing on sand")
    assert sum(full) > sum(vague)
