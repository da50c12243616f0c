"""From which layer on the answer stands, on captions made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from headprune.perspectives.convergence import convergence_layers
from tests.support.samples import Overlap

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
