"""The model card: what it tells, and that no name breaks its Markdown."""

from __future__ import annotations

import re

import pytest

from headprune.patch.card import model_card

RECORD = {
    "base": "owner/model",
    "base_revision": "abc123",
    "how": "slice",
    "patch": "f" * 64,
    "pruned": [[0, 1], [0, 3], [12, 0]],
    "scale": "mean-one",
    "prune": "count=2",
}
LOADING = "model = Auto.from_pretrained(FOLDER)"


def side(mean: float) -> dict:
    return {
        "score": {"mean": mean, "low": mean - 0.1, "high": mean + 0.1},
        "convergence_layer": None,
        "parameters": 1234567,
        "seconds_per_image": 0.0125,
    }


EVALUATION = {
    "samples": 300,
    "excluded": 100,
    "scorer": "cider",
    "before": side(1.2),
    "after": side(1.25),
    "difference": {"mean": 0.05, "low": -0.01, "high": 0.11},
    "control": {"scores": [1.0, 1.1, 1.3], "beaten": 2, "better_than_chance": False},
}


def table(card: str, first: str) -> dict[str, list[str]]:
    """The rows under the table head that starts with `first`, by their first cell."""
    lines = card.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(first))
    columns = lines[start].count("|")
    assert re.fullmatch(r"(\|-+)+\|", lines[start + 1]) and lines[start + 1].count("|") == columns
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        assert line.count("|") == columns, line
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[name] = cells
    return rows


def test_what_was_done():
    card = model_card(RECORD, LOADING, None)
    assert card.startswith("---\nlibrary_name: transformers\ntags:\n- headprune\n---\n\n# `owner/model`")
    assert table(card, "| | |") == {
        "base model": ["`owner/model`"],
        "revision": ["`abc123`"],
        "patch (sha256)": [f"`{'f' * 64}`"],
        "how": ["`slice`"],
        "scale": ["`mean-one`"],
        "pruning rule": ["`count=2`"],
        "heads pruned": ["`3`"],
    }
    assert table(card, "| layer") == {"0": ["1, 3"], "12": ["0"]}
    assert f"```python\n{LOADING}\n```" in card and "headprune.load_model(FOLDER)" in card
    assert card.endswith("\n") and not card.endswith("\n\n")


def test_what_is_not_known_is_left_out():
    card = model_card({"base": "m", "how": "fold", "pruned": []}, LOADING, None)
    assert table(card, "| | |") == {"base model": ["`m`"], "how": ["`fold`"], "heads pruned": ["`0`"]}
    assert "## Heads that were pruned\n\nNone." in card
    assert "Not evaluated when this was exported" in card
    assert "None`" not in card and "null" not in card


@pytest.mark.parametrize("how", ["fold", "slice"])
def test_folded_and_sliced_are_told_apart(how):
    card = model_card({**RECORD, "how": how}, LOADING, None)
    assert ("are gone from" in card, "are silent" in card) == (how == "slice", how == "fold")


def test_the_evaluation():
    card = model_card(RECORD, LOADING, EVALUATION)
    assert "Not evaluated" not in card and "On 300 pictures" in card
    assert table(card, "| | `cider` [95 %]") == {
        "before": ["1.200 [1.100, 1.300]", "1,234,567", "12.50"],
        "after": ["1.250 [1.150, 1.350]", "1,234,567", "12.50"],
    }
    assert "Difference, paired over pictures: +0.050 [-0.010, +0.110]." in card
    assert "It beats 2 of 3 random head sets of the same size." in card


def test_an_evaluation_without_control():
    card = model_card(RECORD, LOADING, {**EVALUATION, "control": None})
    assert "random head sets" not in card and "paired over pictures" in card


@pytest.mark.parametrize(
    "name",
    [
        "a`b",
        "``` a",
        "a|b",
        "a\nb",
        "a\r\n\r\n# b",
        "a\n---\nb",
        "| a |",
        "a\u2028b",
        "  a  ",
        "[a](http://b)",
        "<script>alert(1)</script>",
        "/home/ä/模型",
    ],
)
def test_no_name_breaks_the_markdown(name):
    plain = model_card(RECORD, LOADING, EVALUATION)
    # A scorer may be called by its file, which is named as its author likes.
    odd = {**RECORD, "base": name, "base_revision": name, "prune": name}
    card = model_card(odd, LOADING, {**EVALUATION, "scorer": name})
    assert len(card.splitlines()) == len(plain.splitlines())
    shown = table(card, "| | |")["base model"]
    assert len(shown) == 1 and re.fullmatch(r"`[^`|\n\r\u2028]*`", shown[0]), shown
    assert [line for line in card.splitlines() if line.startswith("#")] == [
        f"# {shown[0]}, pruned by headprune",
        "## Heads that were pruned",
        "## How it does",
        "## How to load it",
    ]
    # Of the name nothing stands outside code: neither here nor in the evaluation's table.
    outside = re.sub(r"`[^`\n]*`", "", card)
    assert "http://b" not in outside and "<script>" not in outside and "ä" not in outside
    measured = next(line for line in card.splitlines() if "[95 %]" in line)
    assert measured.count("|") == 5, measured
