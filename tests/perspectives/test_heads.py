"""What heads say and where they look, against the slow versions of both."""

from __future__ import annotations

import numpy as np
import pytest

from headprune import Generation, captions_by_layer, sliced
from headprune.hooks.catalogue import catalogue
from headprune.perspectives.heads import what_heads_say
from headprune.perspectives.heatmap import where_layers_look
from headprune.towers.batches import Batch
from tests.support import slow
from tests.support.samples import dataset
from tests.support.tiny import HEADS, LAYERS

GENERATION = Generation(max_new_tokens=6)


def edit(name):
    return catalogue().load("edit", name).configured({})


@pytest.mark.parametrize("batch", [Batch(1, 1), Batch(9, 2)])
@pytest.mark.parametrize("name", ["isolate", "ablate"])
def test_captions_and_maps_are_those_of_one_hooked_forward_a_head(tiny, pictures, batch, name):
    samples = dataset(pictures).samples
    found = what_heads_say(tiny, samples, [2, 1], edit(name), name, GENERATION, batch)
    pixels = tiny.prepare(pictures)
    for column, layer in enumerate(found.layers):
        for head in range(HEADS):
            said = [row[column][head] for row in found.captions]
            assert said == slow.variant(tiny, name, pixels, layer, head, False, GENERATION)
    assert [list(row) for row in found.unchanged] == captions_by_layer(tiny, samples, [2, 1], GENERATION, batch)
    assert (found.layers, found.edit) == ((2, 1), name)
    assert len({caption for row in found.captions for layer in row for caption in layer}) > 3
    looks = where_layers_look(tiny, samples, [2, 1], batch)
    for one, other in zip(found.looks.pictures, looks.pictures, strict=True):
        np.testing.assert_allclose(one.heads, other.heads, atol=1e-6)


def test_an_edit_that_needs_means_gets_them(tiny, pictures):
    samples = dataset(pictures).samples
    found = what_heads_say(tiny, samples, [1], edit("mean-ablate"), "mean-ablate", GENERATION, Batch(8, 2))
    other = what_heads_say(tiny, samples, [1], edit("ablate"), "ablate", GENERATION, Batch(8, 2))
    assert found.captions != other.captions and found.unchanged == other.unchanged


def test_layers_with_fewer_heads(tiny, pictures):
    s = np.ones((LAYERS, HEADS), np.float32)
    s[0, 2], s[1] = 0, 0
    found = what_heads_say(
        sliced(tiny, s), dataset(pictures).samples, range(LAYERS), edit("isolate"), "isolate", GENERATION, Batch(8, 2)
    )
    assert [[len(heads) for heads in row] for row in found.captions] == [[3, 0, 4]] * len(pictures)
    assert found.looks.pictures[0].heads.shape[:2] == (LAYERS, HEADS)
