"""From which layer on the answer stands, on captions made by hand."""

from __future__ import annotations

import numpy as np
import pytest

import headprune
from headprune import Generation, ScoreItem, UsageError
from headprune.perspectives.convergence import Convergence, converged, convergence_layers, plateau
from headprune.testing.slow import stopped_after
from headprune.towers.batches import Batch
from tests.support import slow
from tests.support.samples import GoldOverlap, Overlap, dataset

GENERATION = Generation(max_new_tokens=6)

# Shared words of "a b c d" with: itself 1, "a b c" 3/4, "a b" 1/2, "x" 0.
WHOLE, MOST, HALF, NONE = "a b c d", "a b c", "a b", "x"


@pytest.mark.parametrize(
    ("captions", "tau", "layer"),
    [
        ([NONE, HALF, MOST, WHOLE], 0.95, 3),
        ([NONE, HALF, MOST, WHOLE], 0.75, 2),
        ([NONE, HALF, MOST, WHOLE], 0.5, 1),
        ([NONE, HALF, MOST, WHOLE], 1e-9, 1),
        ([WHOLE, WHOLE, WHOLE, WHOLE], 1.0, 0),
        ([WHOLE, WHOLE, NONE, WHOLE], 0.5, 3),  # it agreed, and then no longer did
        ([WHOLE, NONE, MOST, WHOLE], 0.75, 2),
        ([MOST, MOST, MOST, WHOLE], 0.76, 3),
        (["d c b a", NONE, "b a d c", WHOLE], 0.95, 2),
        ([NONE, NONE, NONE, ""], 0.5, 3),
        ([NONE, NONE, "", ""], 0.5, 2),
        ([WHOLE], 0.95, 0),
    ],
)
def test_by_hand(captions, tau, layer):
    assert convergence_layers([captions], Overlap(), tau).tolist() == [layer]


def test_exact_is_stricter_than_any_score():
    rows = [["d c b a", WHOLE, WHOLE], [WHOLE, MOST, WHOLE], [WHOLE, WHOLE, WHOLE], [NONE, "A b c d", WHOLE]]
    assert convergence_layers(rows, None).tolist() == [1, 2, 0, 2]
    assert convergence_layers(rows, Overlap(), 1.0)[0] == 0


def test_images_are_judged_each_by_its_own_last_caption():
    rows = [[WHOLE, NONE], [NONE, WHOLE], [NONE, NONE], [WHOLE, WHOLE]]
    assert convergence_layers(rows, Overlap()).tolist() == convergence_layers(rows, None).tolist() == [1, 1, 0, 0]


def test_the_last_layer_agrees_with_itself_whatever_the_scorer_thinks():
    class Grudging(Overlap):
        def score(self, batch):
            return [0.1 for _ in batch]

    assert convergence_layers([[WHOLE] * 3], Grudging()).tolist() == [2]


def test_against_the_definition_on_random_captions():
    rng = np.random.default_rng(0)
    rows = [[" ".join(rng.choice(list("abcd"), 3)) for _ in range(6)] for _ in range(200)]
    found = convergence_layers(rows, Overlap(), 0.5)
    expected = []
    for row in rows:
        agrees = [
            len(set(said.split()) & set(row[-1].split())) / len(set(said.split()) | set(row[-1].split())) >= 0.5
            for said in row
        ]
        expected.append(min(layer for layer in range(6) if all(agrees[layer:])))
    assert found.tolist() == expected
    assert set(expected) == set(range(6))


@pytest.mark.parametrize(
    ("scores", "tol", "layer"),
    [
        ([0.1, 0.5, 0.99, 1.0], 0.02, 2),
        ([0.1, 0.5, 0.99, 1.0], 0.005, 3),
        ([0.1, 0.5, 0.99, 1.0], 0.5, 1),
        ([0.99, 0.5, 0.99, 1.0], 0.02, 2),  # it was there, and then no longer
        ([0.1, 1.2, 1.01, 1.0], 0.02, 2),  # too high is not there either
        ([1.0, 1.0, 1.0, 1.0], 0.02, 0),
        ([10, 50, 99, 100], 0.02, 2),  # a share of the last score, whatever its size
        ([-2.0, -1.01, -0.99, -1.0], 0.02, 1),
        ([-2.0, 1.0, -1.2, -1.0], 0.02, 3),
        ([0.1, 0.0, 0.0, 0.0], 0.02, 1),
        ([0.0, 1e-9, 0.0], 0.02, 2),
        ([0.3], 0.02, 0),
    ],
)
def test_a_plateau_by_hand(scores, tol, layer):
    assert plateau(np.array(scores), tol) == layer


def test_plateaus_of_many_rows_are_those_of_each():
    rows = np.random.default_rng(0).choice([0.97, 0.99, 1.0, 1.01, 1.05], (200, 5))
    found = plateau(rows, 0.02)
    expected = [
        min(start for start in range(5) if all(abs(score - row[-1]) <= 0.02 * row[-1] for score in row[start:]))
        for row in rows
    ]
    assert found.tolist() == expected and set(expected) == set(range(5))


@pytest.mark.parametrize("layers", [(0, 1, 2), (0, 2), (2,)])
@pytest.mark.parametrize("judge", [Overlap(), None])
def test_a_models_words_against_a_model_without_its_later_layers(tiny, pictures, layers, judge):
    samples = dataset(pictures).samples
    convergence = Convergence(judge, tau=0.5)
    found = converged(tiny, samples, layers, GoldOverlap(), convergence, GENERATION, Batch(7, 2), tol=0.3, seed=4)
    said = []
    for layer in layers:
        with stopped_after(tiny, layer):
            said.append(slow.vanilla_captions(tiny, tiny.prepare(pictures), GENERATION))
    assert found.layers == layers and found.captions == tuple(zip(*said, strict=True))
    expected = [[GoldOverlap().score([ScoreItem(caption, gold=samples[0].captions)])[0] for caption in row]
                for row in zip(*said, strict=True)]  # fmt: skip
    np.testing.assert_array_equal(found.scores, expected)
    assert [one.mean for one in found.curve] == pytest.approx(np.mean(expected, axis=0))
    assert all(one.low <= one.mean <= one.high for one in found.curve)
    for row, layer in zip(found.captions, found.convergence_layers, strict=True):
        same = [judge.score([ScoreItem(one, row[-1])])[0] >= 0.5 if judge else one == row[-1] for one in row]
        assert layer == layers[min(start for start in range(len(layers)) if all(same[start:]))]
    assert found.convergence_layer.mean == found.convergence_layers.mean()
    mean = np.mean(expected, axis=0)
    assert found.plateau == layers[min(start for start in range(len(layers)) if all(
        abs(score - mean[-1]) <= 0.3 * mean[-1] for score in mean[start:]))]  # fmt: skip
    assert layers[0] <= found.plateau_limits[0] <= found.plateau_limits[1] <= 2
    assert (found.tol, found.tau) == (0.3, 0.5 if judge else None)


def test_a_scorer_that_needs_no_gold_compares_with_the_last_layer(tiny, pictures):
    samples = dataset(pictures).samples
    found = converged(tiny, samples, (0, 1, 2), Overlap(), Convergence(None), GENERATION, Batch(7, 2))
    assert (found.scores[:, -1] == 1).all() and (found.scores[:, 0] < 1).any()
    expected = [Overlap().score([ScoreItem(said, row[-1]) for said in row]) for row in found.captions]
    np.testing.assert_array_equal(found.scores, expected)


def test_layers_without_the_last_are_refused(tiny, pictures):
    with pytest.raises(UsageError, match=r"last layer.*\[0, 1\].*add 2"):
        converged(tiny, dataset(pictures).samples, (0, 1), Overlap(), Convergence(None), GENERATION, Batch(7, 2))


def test_the_curves_interval_holds_the_fitted_scorers_mean(tiny, pictures):
    """CIDEr of a corpus is the mean over its images, with document frequencies of all of them."""
    data = dataset(pictures)
    scorer = headprune.make_scorer("cider", {})
    scorer.fit([sample.captions for sample in data.samples])
    found = converged(tiny, data.samples, (1, 2), scorer, Convergence(None), GENERATION, Batch(7, 2))
    for column in (0, 1):
        items = [
            ScoreItem(row[column], gold=sample.captions)
            for row, sample in zip(found.captions, data.samples, strict=True)
        ]
        assert found.curve[column].mean == pytest.approx(np.mean(scorer.score(items)))
