"""What an edit is told beside a capture: donors and attention, against the model's own passes."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from headprune import ModelError, PluginError, Sample, UsageError, load_model
from headprune.edits.heads import Ablate
from headprune.scoring.contexts import Contexts
from headprune.towers import passes
from headprune.towers.batches import Batch, traces
from tests.support.edits import Look, Swap
from tests.support.samples import dataset
from tests.support.zoo import ZOO

LAYERS = (0, 2)


def contexts_of(adapter, samples, edit, batch):
    """(sample, layer) -> its context, of one picture."""
    contexts = Contexts(adapter, samples, LAYERS, edit, batch)
    for pictures, traced in traces(adapter, samples, contexts.batch, contexts.capture):
        for capture, context in contexts.of(pictures, traced):
            for row, sample in enumerate(pictures.samples):
                yield sample.id, capture.layer, row, capture, context


@pytest.mark.parametrize("batch", [Batch(7, 2), Batch(64, 5), Batch(1, 1)], ids=str)
def test_a_donor_is_the_sample_drawn_next(tiny, pictures, batch):
    samples = dataset(pictures).samples
    alone = [tiny.trace(tiny.prepare([picture]), LAYERS).captures for picture in pictures]
    ids = [sample.id for sample in samples]
    seen = 0
    for id_, layer, row, _, context in contexts_of(tiny, samples, Swap(), batch):
        donor = alone[(ids.index(id_) + 1) % len(ids)][layer].heads[0]
        torch.testing.assert_close(context.donors[row], donor, atol=1e-5, rtol=1e-5)
        assert context.means is None and context.attention is None
        seen += 1
    assert seen == len(samples) * len(LAYERS)


@pytest.mark.parametrize("budget", [None, 1], ids=["at once", "a layer at a time"])
def test_attention_makes_the_heads_outputs(tiny, pictures, monkeypatch, budget):
    if budget:
        monkeypatch.setattr(passes, "budget", lambda device: budget)
    samples = dataset(pictures).samples
    found = list(contexts_of(tiny, samples, Look(), Batch(64, 5)))
    assert len(found) == len(samples) * len(LAYERS)
    for _, _, row, capture, context in found:
        said = (context.attention.weights @ context.attention.values).transpose(1, 2).flatten(2)
        torch.testing.assert_close(said[row], capture.heads[row], atol=1e-5, rtol=1e-5)
        assert context.attention.weights[row].std() > 1e-4


def test_what_is_not_needed_is_not_made(tiny, pictures):
    for *_, context in contexts_of(tiny, dataset(pictures).samples, Ablate(), Batch(64, 5)):
        assert (context.means, context.donors, context.attention) == (None, None, None)


def test_a_need_that_there_is_not_is_the_edits_fault(tiny, pictures):
    class Odd(Swap):
        needs = frozenset({"gold"})

    with pytest.raises(PluginError, match="edit Odd needs 'gold'") as caught:
        Contexts(tiny, dataset(pictures).samples, LAYERS, Odd(), Batch(1, 1))
    assert "test_contexts.py line" in caught.value.hint and "'attention', 'donors', 'means'" in caught.value.hint


def test_one_sample_has_no_donor(tiny, pictures):
    with pytest.raises(UsageError, match="another sample"):
        Contexts(tiny, dataset(pictures[:1]).samples, LAYERS, Swap(), Batch(1, 1))


def test_pictures_that_are_cut_otherwise_are_no_donors(tmp_path):
    ZOO["qwen2_vl"].build(tmp_path)
    adapter = load_model(str(tmp_path))
    samples = [Sample(str(size), (), lambda size=size: Image.new("RGB", size, "red")) for size in ((56, 56), (112, 56))]
    with pytest.raises(ModelError, match="pictures of one size only"):
        list(contexts_of(adapter, samples, Swap(), Batch(4, 4)))
