"""Captions: a full one says everything rightly, and no vaguer or wrong one passes for it."""

from __future__ import annotations

import dataclasses
from random import Random

import pytest

from headprune.demo.captions import LEVELS, attributes_right, canonical, caption, parse, plural, references, vocabulary
from headprune.demo.scenes import BACKGROUNDS, COLOURS, COUNTS, RELATIONS, SHAPES, SIZES, TEXTURES, Facts, sample

FACTS = [sample("held-out", number).facts for number in range(300)]


def test_full_captions_state_every_attribute() -> None:
    luck = Random(0)
    for facts in FACTS:
        assert parse(canonical(facts)) == facts
        for _ in range(5):
            assert attributes_right(caption(facts, "full", luck), facts)


def test_generic_captions_do_not() -> None:
    luck = Random(0)
    assert not any(attributes_right(caption(facts, "generic", luck), facts) for facts in FACTS)


def _others(facts: Facts) -> list[Facts]:
    """The facts with one attribute changed, each in turn."""

    def besides(options: tuple[str, ...], one: str) -> str:
        return options[(options.index(one) + 1) % len(options)]

    changed = [dataclasses.replace(facts, background=besides(BACKGROUNDS, facts.background))]
    for number, (colour, shape) in enumerate(facts.things):
        for thing in ((besides(tuple(COLOURS), colour), shape), (colour, besides(tuple(SHAPES), shape))):
            things = list(facts.things)
            things[number] = thing
            changed.append(dataclasses.replace(facts, things=tuple(things)))
    if facts.kind == "pair":
        changed.append(dataclasses.replace(facts, relation=besides(RELATIONS, str(facts.relation))))
        changed.append(dataclasses.replace(facts, things=facts.things[::-1]))
    else:
        changed.append(dataclasses.replace(facts, texture=besides(TEXTURES, facts.texture)))
    if facts.kind == "group":
        changed.append(dataclasses.replace(facts, count=COUNTS[COUNTS.index(facts.count) - 1]))
    if facts.kind == "single":
        changed.append(dataclasses.replace(facts, size=besides(SIZES, str(facts.size))))
    return changed


def test_one_wrong_attribute_is_enough_to_fail() -> None:
    for facts in FACTS:
        for other in _others(facts):
            assert other != facts
            assert not attributes_right(canonical(other), facts)


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        ("a huge crimson pentagram on the beach", Facts((("red", "star"),), "sand", size="big")),
        (
            "a teal box below an orange ring at night",
            Facts((("orange", "ring"), ("teal", "box")), "night", relation="above"),
        ),
        ("there are two spotted golden crosses in winter", Facts((("yellow", "cross"),), "snow", 2, "dotted")),
        ("in the dark a tiny green plus", Facts((("green", "cross"),), "night", size="small")),
    ],
)
def test_other_words_for_the_same(words: str, facts: Facts) -> None:
    assert parse(words) == facts


@pytest.mark.parametrize(
    "words",
    ["", "a", "a thing", "a big red star", "a red star near a blue ball on sand", "two red things on sand",
     "a big red star on sand on grass", "a big red blue star on sand", "one two three"],
)  # fmt: skip
def test_what_is_left_out_or_contradictory_states_nothing(words: str) -> None:
    assert parse(words) is None


def test_vocabulary_covers_every_caption() -> None:
    known, luck = set(vocabulary()), Random(1)
    for facts in FACTS:
        for level in LEVELS:
            words = caption(facts, level, luck).split()
            assert set(words) <= known
            assert len(words) <= 15


def test_articles_and_plurals() -> None:
    assert canonical(Facts((("orange", "box"), ("blue", "arrow")), "sand", relation="above")).startswith(
        "an orange box"
    )
    assert [plural(noun) for noun in ("box", "cross", "plus", "star")] == ["boxes", "crosses", "pluses", "stars"]


def test_references_differ_in_words_and_in_detail() -> None:
    for facts in FACTS:
        gold = references(facts, 5, Random(0))
        assert len(set(gold)) == 5
        assert gold[0] == canonical(facts)
        assert sum(attributes_right(words, facts) for words in gold) in (3, 4)
        assert not attributes_right(gold[-1], facts)
