"""How concrete layers are: every family's captions, raters and other scorers, and what a rater must return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

import headprune
from headprune import Generation, LayerRater, PluginError, RateItem, ScoreItem, Scorer, UsageError
from headprune.perspectives.concreteness import how_concrete, rated
from headprune.perspectives.linguistic import captions_by_layer
from headprune.scoring.statistics import mean_interval
from headprune.towers.batches import Batch
from tests.support.samples import dataset

GENERATION = Generation(max_new_tokens=6)


class Lengths(LayerRater):
    """Looks at all it is given: how long a caption is, and whether it is what the whole model says."""

    needs = frozenset({"picture"})
    criteria: ClassVar[tuple[str, ...]] = ("length", "same")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[RateItem] = []

    def rate(self, batch: Sequence[RateItem]) -> list[list[list[float]]]:
        self.seen += batch
        assert all(item.picture is not None and item.picture().mode == "RGB" for item in batch)
        return [
            [[1 + len(caption) % 5, 5.0 if caption == item.reference else 1.0] for caption in item.captions]
            for item in batch
        ]


@pytest.mark.parametrize("layers", [[0, 1, 2], [1], [2, 0]])
def test_captions_of_layers_are_rated_against_the_whole_model(tiny, pictures, layers):
    samples, rater = dataset(pictures).samples, Lengths()
    found = how_concrete(tiny, samples, layers, rater, GENERATION, Batch(7, 2), seed=3)
    said = captions_by_layer(tiny, samples, layers, GENERATION, Batch(4, 1))
    whole = [last for (last,) in captions_by_layer(tiny, samples, [2], GENERATION, Batch(4, 1))]
    assert found.captions == tuple(map(tuple, said)) and found.layers == tuple(layers)
    assert found.samples == tuple(sample.id for sample in samples) and found.criteria == ("length", "same")
    for number, item in enumerate(rater.seen):
        assert (item.sample, item.reference) == (samples[number].id, whole[number])
        assert (tuple(item.captions), tuple(item.layers)) == (tuple(said[number]), tuple(layers))
    for n, row in enumerate(said):
        for at, caption in enumerate(row):
            assert list(found.ratings[n, at]) == [1 + len(caption) % 5, 5.0 if caption == whole[n] else 1.0]
    if 2 in layers:
        assert (found.ratings[:, layers.index(2), 1] == 5).all()
    np.testing.assert_allclose(found.scores, found.ratings.mean(axis=2))
    for at in range(len(layers)):
        wanted = mean_interval(found.scores[:, at], 3)
        assert (found.score[at].low, found.score[at].high) == pytest.approx((wanted.low, wanted.high))
        assert found.by_criterion[0][at].mean == pytest.approx(found.ratings[:, at, 0].mean())


def test_another_scorer_gives_each_caption_one_number(tiny, pictures):
    class Shared(Scorer):
        higher_is_better = False

        def score(self, batch: Sequence[ScoreItem]) -> list[float]:
            return [float(len(set(item.caption) ^ set(item.reference))) for item in batch]

    samples = dataset(pictures).samples
    found = how_concrete(tiny, samples, [0, 2], Shared(), GENERATION, Batch(8, 5))
    whole = [last for (last,) in captions_by_layer(tiny, samples, [2], GENERATION, Batch(8, 5))]
    wanted = [[-len(set(said) ^ set(last)) for said in row] for row, last in zip(found.captions, whole, strict=True)]
    assert found.criteria == ("Shared",) and found.ratings.shape == (5, 2, 1)
    assert found.scores.tolist() == wanted and (found.scores[:, 1] == 0).all()


def test_a_scorer_that_needs_gold_captions_is_not_run_without(tiny, pictures):
    samples = [headprune.Sample("bare", (), lambda: pictures[0])]
    with pytest.raises(UsageError, match="bare has none"):
        how_concrete(tiny, samples, [0], headprune.make_scorer("bleu", {}), GENERATION, Batch(8, 5))


def returning(ratings):
    class Wrong(Lengths):
        def rate(self, batch):
            if isinstance(ratings, Exception):
                raise ratings
            return ratings

    return Wrong()


@pytest.mark.parametrize(
    ("ratings", "said"),
    [
        ([], "not .1..2..2."),
        ([[[1, 2]]], "not .1..2..2."),
        ([[[1, 2], [3]]], "not .1..2..2."),
        ([[[1, 2], [3, 4]]] * 2, "not .1..2..2."),
        ([[[1, 2], [3, float("nan")]]], "sample boat that is not from 1 to 5"),
        ([[[1, 2], [3, 0.5]]], "sample boat that is not from 1 to 5"),
        ([[[1, 2], [3, 5.5]]], "sample boat that is not from 1 to 5"),
        ([[[1, 2], [3, "many"]]], "scorer Wrong failed"),
        (KeyError("x"), "scorer Wrong failed at .* KeyError"),
    ],
)
def test_a_rater_that_breaks_its_promise_is_blamed(ratings, said):
    with pytest.raises(PluginError, match=said):
        rated(returning(ratings), [RateItem(("a", "b"), (0, 1), sample="boat")])


def test_a_rater_scores_a_caption_by_itself_from_0_to_1():
    items = [ScoreItem("abcd", "abcd", picture=lambda: __import__("PIL.Image").Image.new("RGB", (2, 2)), layer=5)]
    rater = Lengths()
    assert rater.score(items) == [1.0]
    assert rater.seen[0].layers == (0,) and rater.expense(3, 2) is None


def test_the_demo_gets_more_concrete_by_the_offline_measure():
    found = headprune.concreteness(headprune.load_model("demo"), headprune.open_dataset("demo"), samples=100)
    assert found.criteria == ("entities", "specificity", "information", "agreement") and found.ratings.shape[1] == 8
    assert found.score[-1].low > found.score[0].high
