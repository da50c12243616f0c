"""A run's results as flat rows."""

from __future__ import annotations

from pathlib import Path

from headprune.runs import REFERENCE, RunStore
from headprune.runs.rows import importances, results


def rows_of(store: RunStore) -> list[dict[str, object]]:
    flat = results(store)
    names = [name for name, _ in flat.columns]
    return [dict(zip(names, row, strict=True)) for row in flat.rows]


def test_each_caption_stands_beside_the_one_it_is_compared_with(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        store.see({"a": "hash"})
        context = store.context({"decode_at": "layer", "edit": {"name": "ablate"}, "coefficients": "1"})
        scorer = store.scorer({"name": "cider"})
        captions = {("a", layer, head): f"{layer} {head}" for layer in (2, 3) for head in (REFERENCE, 0)}
        store.add_captions(context, captions)
        store.add_scores(context, scorer, {("a", 2, 0): 0.5})
        found = rows_of(store)
    assert [(row["layer"], row["head"], row["caption"], row["reference"], row["score"]) for row in found] == [
        *((2, -1, "2 -1", None, None), (2, 0, "2 0", "2 -1", 0.5)),
        *((3, -1, "3 -1", None, None), (3, 0, "3 0", "3 -1", None)),
    ]
    assert {(row["edit"], row["decode_at"], row["context"], row["picture"]) for row in found} == {
        ("ablate", "layer", context, "hash")
    }
    assert [row["scorer"] for row in found] == [None, "cider", None, None]


def test_at_the_last_layer_all_are_compared_with_one(tmp_path: Path) -> None:
    """With schedule `sequential`, too, where each layer has a model of its own and the unchanged one spoke once."""
    described = {"decode_at": "last", "edit": {"name": "isolate"}}
    with RunStore.open(tmp_path) as store:
        first = store.context({**described, "coefficients": "1"})
        second = store.context({**described, "coefficients": "2"})
        other = store.context({**described, "coefficients": "1", "weights": "others"})
        store.add_captions(first, {("a", 7, REFERENCE): "unchanged", ("a", 6, 0): "six"})
        store.add_captions(second, {("a", 7, 0): "seven"})
        store.add_captions(other, {("a", 6, 0): "other weights"})
        found = {row["caption"]: row["reference"] for row in rows_of(store)}
    assert found == {"unchanged": None, "six": "unchanged", "seven": "unchanged", "other weights": None}


def test_a_score_without_text_is_a_row_and_two_scorers_are_two(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        context = store.context({"decode_at": "last", "edit": {"name": "derivative"}})
        for name, value in (("likelihood", 1.5), ("taylor", -0.25)):
            store.add_scores(context, store.scorer({"name": name}), {("a", 1, 2): value})
        found = rows_of(store)
    assert [(row["caption"], row["scorer"], row["score"]) for row in found] == [
        (None, "likelihood", 1.5),
        (None, "taylor", -0.25),
    ]


def test_every_picture_that_a_sample_had_has_its_rows(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        context = store.context({})
        for picture, text in (("one", "a cat"), ("two", "a dog")):
            store.see({"a": picture})
            store.add_captions(context, {("a", 0, 0): text})
        assert [(row["picture"], row["caption"]) for row in rows_of(store)] == [("one", "a cat"), ("two", "a dog")]


def test_importances(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        store.see({"a": "hash"})
        store.add_importances("digest", {("a", 1): [0.75, None, -0.1]})
        assert list(importances(store).rows) == [
            ("digest", "a", "hash", 1, 0, 0.75),
            ("digest", "a", "hash", 1, 2, -0.1),
        ]
        assert store.all("SELECT sample, layer, head, importance FROM weighed") == [
            ("a", 1, 0, 0.75),
            ("a", 1, 2, -0.1),
        ]
