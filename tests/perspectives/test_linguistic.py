"""What layers and heads say, against vanilla generation with plain hooks."""

from __future__ import annotations

import pytest

from headprune import Generation, captions_by_layer
from headprune.perspectives.linguistic import captions_of_head
from headprune.testing.slow import stopped_after
from headprune.towers.batches import Batch
from tests.support import slow
from tests.support.samples import dataset

GENERATION = Generation(max_new_tokens=6)


@pytest.mark.parametrize("batch", [Batch(1, 1), Batch(7, 2), Batch(64, 5)])
def test_every_layer_says_what_a_model_without_the_later_ones_says(tiny, pictures, batch):
    pixels = tiny.prepare(pictures)
    layers = [2, 0, 1]
    found = captions_by_layer(tiny, dataset(pictures).samples, layers, GENERATION, batch)
    for column, layer in enumerate(layers):
        with stopped_after(tiny, layer):
            assert [row[column] for row in found] == slow.vanilla_captions(tiny, pixels, GENERATION)
    assert len({said for row in found for said in row}) > 3


def test_the_last_layer_is_the_model(tiny, pictures):
    found = captions_by_layer(tiny, dataset(pictures).samples, [2], GENERATION, Batch(4, 2))
    assert [said for (said,) in found] == slow.vanilla_captions(tiny, tiny.prepare(pictures), GENERATION)


@pytest.mark.parametrize("batch", [Batch(1, 1), Batch(7, 2)])
@pytest.mark.parametrize(("layer", "head"), [(0, 0), (1, 3), (2, 2)])
def test_a_head_says_what_its_layer_says_without_the_others(tiny, pictures, layer, head, batch):
    found = captions_of_head(tiny, dataset(pictures).samples, layer, head, GENERATION, batch)
    assert found == slow.variant(tiny, "isolate", tiny.prepare(pictures), layer, head, False, GENERATION)


def test_heads_differ(tiny, pictures):
    samples = dataset(pictures).samples
    said = {tuple(captions_of_head(tiny, samples, 0, head, GENERATION, Batch(8, 2))) for head in range(4)}
    assert len(said) > 1


def test_no_pictures_no_captions(tiny):
    assert captions_by_layer(tiny, [], [0, 1], GENERATION, Batch(4, 2)) == []
