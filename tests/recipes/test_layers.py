"""Which layers a text names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headprune.errors import ExitCode, UsageError
from headprune.recipes import parse_layers


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("all", (0, 1, 2, 3, 4, 5, 6, 7)),
        ("last:3", (5, 6, 7)),
        ("last:8", (0, 1, 2, 3, 4, 5, 6, 7)),
        ("2-4", (2, 3, 4)),
        ("3,7", (3, 7)),
        ("7, 3 ,3", (3, 7)),
        ("0,3-5,-1", (0, 3, 4, 5, 7)),
        ("-1", (7,)),
        ("-8", (0,)),
        ("-3--1", (5, 6, 7)),
        ("6--1", (6, 7)),
        ("4-4", (4,)),
        ("1,last:2", (1, 6, 7)),
    ],
)
def test_what_is_written_is_what_is_chosen(text: str, layers: tuple[int, ...]) -> None:
    assert parse_layers(text, 8) == layers


@pytest.mark.parametrize("text", ["8", "-9", "3-8", "last:9", "0,99", "0-999999"])
def test_a_layer_the_tower_does_not_have_is_refused_with_its_range(text: str) -> None:
    with pytest.raises(UsageError, match=r"the tower has layers 0 to 7 \(or -8 to -1\)") as caught:
        parse_layers(text, 8)
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    "text", ["", ",", "3,", "first:2", "last:", "last:-1", "last:0", "1.5", "1-2-3", "--1", "a", "+1", "٣", "9" * 30]
)
def test_what_cannot_be_read_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_layers(text, 8)
    assert "last:4" in caught.value.hint


def test_a_range_does_not_run_backwards() -> None:
    with pytest.raises(UsageError, match="'5-3' run backwards") as caught:
        parse_layers("5-3", 8)
    assert caught.value.hint == "write 3-5"


@given(st.lists(st.integers(-12, 11), min_size=1), st.just(12))
def test_any_list_of_layers_is_read_as_python_indexes_it(numbers: list[int], layers: int) -> None:
    assert parse_layers(",".join(map(str, numbers)), layers) == tuple(sorted({range(layers)[n] for n in numbers}))


def test_a_dead_layer_is_no_layer():
    """Of 24 layers the last is read by nothing."""
    assert parse_layers("all", 23, 1) == tuple(range(23)) and parse_layers("-1", 23, 1) == (22,)
    with pytest.raises(UsageError, match=r"has layers 0 to 22 .*nothing is read: 1 dead"):
        parse_layers("23", 23, 1)


def slow(text: str, layers: int) -> tuple[int, ...] | None:
    """Every layer asked whether the text names it; None where some part is none of the forms."""
    chosen: set[int] = set()
    for part in (part.strip() for part in text.split(",")):
        ways = [("all", range(layers))]
        ways += [(f"last:{n}", range(layers - n, layers)) for n in range(1, layers + 1)]
        ways += [(f"{n}", [n % layers]) for n in range(-layers, layers)]
        ends = [(a, b) for a in range(-layers, layers) for b in range(-layers, layers) if a % layers <= b % layers]
        ways += [(f"{a}-{b}", range(a % layers, b % layers + 1)) for a, b in ends]
        found = [named for form, named in ways if form == part]
        if not found:
            return None
        chosen.update(found[0])
    return tuple(sorted(chosen))


PARTS = st.sampled_from(["all", "last:", "-", "0", "1", "2", "5", "6", "7", ",", " ", ":", "\t"])


@given(st.lists(PARTS, max_size=7).map("".join), st.integers(1, 7))
def test_any_text_names_what_the_slow_twin_finds(text: str, layers: int) -> None:
    try:
        found = parse_layers(text, layers)
    except UsageError:
        found = None
    wanted = slow(text, layers)
    # The twin does not know that 07 is 7, and -0 is 0.
    assert found == wanted or (wanted is None and re.search(r"(?<![1-9])0\d|-0", text))
