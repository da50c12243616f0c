"""What layers say and dS, against vanilla generation with plain hooks and a loop over neighbours."""

from __future__ import annotations

import numpy as np
import pytest

import headprune
from headprune import Expense, Generation, LayerRater, ScoreItem, resolve
from headprune.jobs.perspectives.layers import LayersPerspective
from headprune.perspectives.layers import what_layers_say
from headprune.testing.slow import stopped_after
from headprune.towers.batches import Batch
from tests.support import slow
from tests.support.samples import GoldOverlap, Overlap, dataset

GENERATION = Generation(max_new_tokens=6)


def said_at(tiny, pictures, layer: int) -> list[str]:
    """D(Z[layer + 1]); -1 is the embeddings."""
    with stopped_after(tiny, layer):
        return slow.vanilla_captions(tiny, tiny.prepare(pictures), GENERATION)


@pytest.mark.parametrize("layers", [(0, 1, 2), (2,), (0, 2)])
def test_each_layer_is_compared_with_the_one_before_it(tiny, pictures, layers):
    found = what_layers_say(tiny, dataset(pictures).samples, layers, Overlap(), GENERATION, Batch(7, 2))
    for column, layer in enumerate(layers):
        said, before = said_at(tiny, pictures, layer), said_at(tiny, pictures, layer - 1)
        assert [row[column] for row in found.captions] == said
        assert [row[column] for row in found.before] == before
        pairs = [ScoreItem(*pair) for pair in zip(said, before, strict=True)]
        assert found.scores[:, column].tolist() == Overlap().score(pairs)
        assert found.change[column].mean == pytest.approx(found.scores[:, column].mean())
    assert not found.gained
    assert (found.scores < 1).any(), "layers change too little for this to show anything"


def test_a_scorer_of_gold_captions_says_by_how_much_a_layer_is_better(tiny, pictures):
    samples = dataset(pictures).samples
    found = what_layers_say(tiny, samples, (1, 2), GoldOverlap(), GENERATION, Batch(7, 2))
    for column, layer in enumerate((1, 2)):
        after, before = (
            GoldOverlap().score([ScoreItem(said, gold=samples[0].captions) for said in said_at(tiny, pictures, at)])
            for at in (layer, layer - 1)
        )
        np.testing.assert_allclose(found.scores[:, column], np.subtract(after, before))
    assert found.gained


class Longer(LayerRater):
    """Rates a caption by itself: its length."""

    criteria = ("length",)

    def rate(self, batch):
        return [[[1 + 4 * min(len(caption), 40) / 40] for caption in item.captions] for item in batch]


def test_a_rater_of_captions_says_by_how_much_a_layer_is_better(tiny, pictures):
    samples = dataset(pictures).samples
    found = what_layers_say(tiny, samples, (1, 2), Longer(), GENERATION, Batch(7, 2))
    assert found.gained
    for column, layer in enumerate((1, 2)):
        after, before = (said_at(tiny, pictures, at) for at in (layer, layer - 1))
        expected = [(min(len(a), 40) - min(len(b), 40)) / 40 for a, b in zip(after, before, strict=True)]
        np.testing.assert_allclose(found.scores[:, column], expected, atol=1e-12)
    assert (found.scores[np.equal(found.captions, found.before)] == 0).all()


def test_the_library_call_draws_and_fits(tiny, pictures):
    found = headprune.layers(
        tiny, dataset(pictures), samples=3, layers="last:1", scorer="cider", generation={"max_new_tokens": 6}
    )
    assert found.layers == (2,) and found.scores.shape == (3, 1)


class Counting(Longer):
    """Counts what it is asked, and says what that costs."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def rate(self, batch):
        self.asked += sum(len(item.captions) for item in batch)
        return super().rate(batch)

    def expense(self, calls, captions):
        return Expense("nobody", calls, 0, calls * captions, calls, None)


@pytest.mark.parametrize("layers", [(0, 1, 2), (2,), (0, 2)])
def test_a_layer_is_scored_once_and_no_more_is_scored_than_was_agreed_to(tiny, pictures, layers):
    samples = dataset(pictures).samples
    perspective = LayersPerspective(resolve(None, {"model": "demo"}).recipe)
    perspective.scorer = scorer = Counting()
    what_layers_say(tiny, samples, layers, scorer, GENERATION, Batch(7, 2))
    assert scorer.asked == perspective.expense(len(samples), layers).calls
