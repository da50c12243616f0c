"""From captions to importances, on captions made by hand; and what a scorer may not do."""

from __future__ import annotations

import numpy as np
import pytest

from headprune import Geometry, LayerRater, Sample, ScoreItem, Scorer
from headprune.errors import ExitCode, PluginError, UsageError
from headprune.hooks.catalogue import catalogue
from headprune.scoring.importance import importances, scored, softmax
from headprune.towers.batches import UNCHANGED
from tests.support.samples import GoldOverlap, Overlap

SAMPLES = [Sample("x", ("a b", "c"), lambda: None), Sample("y", ("d",), lambda: None)]
# Layers 1 and 3, two heads; the unchanged model at both, and at the last one, 4.
CAPTIONS = {
    ("x", 1, UNCHANGED): "a b", ("x", 1, 0): "a b", ("x", 1, 1): "a",
    ("x", 3, UNCHANGED): "a c", ("x", 3, 0): "b", ("x", 3, 1): "a c",
    ("x", 4, UNCHANGED): "b",
    ("y", 1, UNCHANGED): "d", ("y", 1, 0): "e", ("y", 1, 1): "d e",
    ("y", 3, UNCHANGED): "e", ("y", 3, 0): "", ("y", 3, 1): "e",
    ("y", 4, UNCHANGED): "",
}  # fmt: skip


def found(edit: str, scorer: Scorer, references=(1, 3)) -> np.ndarray:
    made = catalogue().load("edit", edit).configured({})
    return importances(CAPTIONS, SAMPLES, (1, 3), Geometry(4, 2, 8, 4, True), made, scorer, references)


LIKENESS = np.array([[[1, 1 / 2], [0, 1]], [[0, 1 / 2], [0, 1]]])


@pytest.mark.parametrize("edit", ["isolate", "isolate-direct"])
def test_an_edit_that_keeps_the_head_scores_likeness(edit):
    np.testing.assert_allclose(found(edit, Overlap()), LIKENESS)


@pytest.mark.parametrize("edit", ["ablate", "mean-ablate", "scale"])
def test_an_edit_that_lacks_the_head_scores_the_change(edit):
    np.testing.assert_allclose(found(edit, Overlap()), 1 - LIKENESS)


def test_decoding_at_the_last_layer_compares_with_the_last_layer():
    expected = [[[1 / 2, 0], [1, 0]], [[0, 0], [1, 0]]]
    np.testing.assert_allclose(found("isolate", Overlap(), (4, 4)), expected)


# Against the better of the gold captions "a b" and "c", and against "d".
GOLD = np.array([[[1, 1 / 2], [1 / 2, 1 / 2]], [[0, 1 / 2], [0, 0]]])
GOLD_UNCHANGED = np.array([[[1], [1 / 2]], [[1], [0]]])


def test_gold_scorers_take_the_variants_score_for_isolate():
    np.testing.assert_allclose(found("isolate", GoldOverlap()), GOLD)


class Seen(Scorer):
    """Looks at the picture: the caption's length, which no reference has a say in."""

    needs = frozenset({"picture"})

    def score(self, batch):
        return [float(len(item.caption)) for item in batch]


class Rated(LayerRater):
    """Rates a caption by itself."""

    criteria = ("length",)

    def rate(self, batch):
        return [[[1.0 + min(4, len(caption))] for caption in item.captions] for item in batch]


@pytest.mark.parametrize("scorer", [Seen(), Rated()], ids=["picture", "rater"])
def test_what_no_reference_has_a_say_in_takes_the_drop(scorer):
    lost = found("ablate", scorer)
    kept = found("isolate", scorer)
    assert not scorer.compares and Overlap().compares and not GoldOverlap().compares
    # A head's variant and its drop make up what the unchanged model has, for every head of a layer alike.
    np.testing.assert_allclose(np.ptp(lost + kept, axis=2), 0)
    assert np.ptp(lost) > 0 and not np.allclose(lost, 1 - kept)


def test_gold_scorers_take_the_drop_for_ablate():
    np.testing.assert_allclose(found("ablate", GoldOverlap()), GOLD_UNCHANGED - GOLD)
    last = np.array([[[1 / 2], [1 / 2]], [[0], [0]]])
    np.testing.assert_allclose(found("ablate", GoldOverlap(), (4, 4)), last - GOLD)


def test_a_scorer_sees_where_each_caption_comes_from():
    seen: list[ScoreItem] = []

    class Watching(Overlap):
        def score(self, batch):
            seen.extend(batch)
            return super().score(batch)

    found("isolate", Watching(), (4, 4))
    assert [(item.sample, item.layer, item.head) for item in seen] == [
        (sample, layer, head) for layer in (1, 3) for sample in "xy" for head in (0, 1)
    ]
    assert all(item.caption == CAPTIONS[item.sample, item.layer, item.head] for item in seen)
    assert all(item.reference == CAPTIONS[item.sample, 4, UNCHANGED] for item in seen)
    assert seen[0].gold == ("a b", "c") and seen[-1].gold == ("d",)


class Answering(Scorer):
    """Answers whatever it was made with."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def score(self, batch):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


TWO = [ScoreItem("first", "r"), ScoreItem("second", "r")]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ([0.5], "returned 1 scores for 2 items"),
        ([0.5, 0.5, 0.5], "returned 3 scores for 2 items"),
        ([[0.5], [0.5]], r"returned scores of shape \(2, 1\)"),
        (0.5, r"returned scores of shape \(\)"),
        ([0.5, float("nan")], "returned a score that is not finite for 'second'"),
        ([float("-inf"), 0.5], "returned a score that is not finite for 'first'"),
        ([None, 0.5], "returned a score that is not finite for 'first'"),
        (["high", "low"], r"failed at test_importance\.py line \d+: ValueError"),
        (KeyError("weights"), r"failed at test_importance\.py line \d+: KeyError: 'weights'"),
    ],
)
def test_what_a_scorer_may_not_do(answer, told):
    with pytest.raises(PluginError, match=f"scorer Answering {told}") as caught:
        scored(Answering(answer), TWO)
    assert caught.value.exit_code == ExitCode.PLUGIN and caught.value.hint


def test_a_scorers_own_headprune_error_goes_through():
    with pytest.raises(UsageError, match="no such language"):
        scored(Answering(UsageError("no such language")), TWO)


def test_lower_is_better_is_turned_around():
    class Distance(Answering):
        higher_is_better = False

    assert scored(Distance([0.25, 3]), TWO).tolist() == [-0.25, -3]


def test_gold_captions_must_be_there_for_every_item():
    items = [ScoreItem("c", gold=("d",), sample="x"), ScoreItem("c", sample="y")]
    with pytest.raises(UsageError, match="GoldOverlap needs gold captions; sample y has none"):
        scored(GoldOverlap(), items)


def test_softmax_by_hand():
    np.testing.assert_allclose(softmax(np.log([[1.0, 3.0]]), 1.0), [[0.25, 0.75]])
    np.testing.assert_allclose(softmax(np.log([[1.0, 3.0]]), 0.5), [[0.1, 0.9]])
    np.testing.assert_allclose(softmax(np.array([[0.0, 0.0, 0.0]]), 0.1), [[1 / 3] * 3])
    np.testing.assert_allclose(softmax(np.array([1e4, 1e4 - 1]), 1.0), 1 / (1 + np.exp([-1.0, 1.0])))
    np.testing.assert_allclose(softmax(np.array([0.0, 1.0]), 1e-3), [0, 1])
