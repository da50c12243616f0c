"""Turns are taken, and a wrong result never gets a time."""

from __future__ import annotations

import pytest

from benchmarks.results import Target, compared
from benchmarks.rounds import interleaved
from benchmarks.task import DisagreementError


def test_contestants_take_turns():
    turns: list[str] = []
    seconds = interleaved({name: lambda name=name: turns.append(name) for name in "abc"}, 3, lambda *_: None)
    assert turns == list("abc" * 3)
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_every_result_is_held_against_the_first():
    def same(first, wanted, other, found):
        if wanted != found:
            raise DisagreementError(f"{first} {wanted}, {other} {found}")

    with pytest.raises(DisagreementError, match="a 1, b 2"):
        interleaved({"a": lambda: 1, "b": lambda: 2}, 5, same)


def test_ratios_are_taken_within_rounds():
    values = {"ours": [1.0, 2.0, 10.0], "peer": [2.0, 4.0, 10.0]}
    ours, peer = compared("s", values, "s", {"peer": ("ours", Target(1.5))})
    assert (ours.median, ours.ratio, ours.reached) == (2.0, None, None)
    assert (peer.median, peer.ratio, peer.reached) == (4.0, 2.0, False)
    assert Target(1.5, least=True).reached(2.0)
