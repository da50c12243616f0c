"""Scenes: always the same from the same seed, and never shared between the splits."""

from __future__ import annotations

import pytest

from headprune.demo.scenes import COUNTS, SPLITS, Facts, sample


@pytest.mark.parametrize("split", SPLITS)
def test_scene_is_the_same_every_time(split: str) -> None:
    assert [sample(split, number) for number in range(20)] == [sample(split, number) for number in range(20)]


@pytest.mark.parametrize("split", SPLITS)
def test_facts_belong_to_the_split_they_were_drawn_for(split: str) -> None:
    assert {sample(split, number).facts.split for number in range(300)} == {split}


def test_held_out_combinations_are_not_trained_on() -> None:
    trained = {sample("train", number).facts for number in range(20_000)}
    held_out = {sample("held-out", number).facts for number in range(400)}
    assert not trained & held_out


def test_the_split_is_a_property_of_the_combination() -> None:
    facts = Facts((("red", "star"),), "sand", size="big")
    assert facts.split == "train"
    assert Facts((("red", "star"),), "sand", size="big", texture="dotted").split in SPLITS


def test_every_kind_and_count_occurs() -> None:
    facts = [sample("held-out", number).facts for number in range(400)]
    assert {fact.kind for fact in facts} == {"single", "group", "pair"}
    assert {fact.count for fact in facts} == {1, *COUNTS}


def test_things_lie_as_the_facts_say() -> None:
    for number in range(400):
        scene = sample("train", number)
        facts, things = scene.facts, scene.things
        assert len(things) == (2 if facts.kind == "pair" else facts.count)
        assert all(0 < thing.x < 1 and 0 < thing.y < 1 for thing in things)
        if facts.kind == "pair":
            first, second = things
            across, down = second.x - first.x, second.y - first.y
            assert (across > 2 * abs(down)) if facts.relation == "left of" else (down > 2 * abs(across))


def test_pairs_differ_in_colour_and_shape() -> None:
    for number in range(400):
        facts = sample("train", number).facts
        if facts.kind == "pair":
            (colour, shape), (other_colour, other_shape) = facts.things
            assert colour != other_colour
            assert shape != other_shape
