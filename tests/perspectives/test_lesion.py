"""Lesions against plain hooks on the model, and the identities that they must keep."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

import headprune
from headprune import Generation, UsageError
from headprune.edits.lesions import LESIONS
from headprune.patch.slice import sliced
from headprune.perspectives.lesion import lesion_layers
from headprune.perspectives.means import mean_inputs
from headprune.towers.batches import Batch, prepared
from tests.support import slow
from tests.support.samples import GoldOverlap, Overlap, dataset
from tests.support.zoo import ZOO

GENERATION = Generation(max_new_tokens=6)
BATCH = Batch(7, 2)


def experiment(adapter, samples, layers, means, scorer=None, batch=BATCH, generation=GENERATION, **more):
    return lesion_layers(adapter, samples, layers, means, scorer or Overlap(), generation, batch, **more)


@pytest.fixture
def samples(pictures):
    return dataset(pictures).samples


@pytest.mark.parametrize("per_token", [True, False])
def test_means_are_those_of_what_the_layers_read(tiny, samples, pictures, per_token):
    with torch.no_grad():
        inputs = slow.layer_inputs(tiny, tiny.prepare(pictures))
    means = mean_inputs(tiny, samples, [2, 0, 1], BATCH, per_token)
    assert (means.samples, means.per_token) == (5, per_token)
    for layer, states in enumerate(inputs):
        expected = states.double().mean(0) if per_token else states.double().flatten(0, 1).mean(0)[None]
        assert means.of[layer].dtype == torch.float64
        torch.testing.assert_close(means.of[layer], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("batch", [Batch(1, 1), Batch(7, 2), Batch(64, 5)])
@pytest.mark.parametrize("per_token", [True, False])
def test_lesions_say_what_plain_hooks_make_the_model_say(tiny, samples, pictures, batch, per_token):
    layers, together = [2, 0, 1], [(0, 1), (0, 2), (0, 1, 2)]
    means = mean_inputs(tiny, samples, range(3), batch, per_token)
    found = experiment(tiny, samples, layers, means, batch=batch, together=together)
    pixels = tiny.prepare(pictures)
    with torch.no_grad():
        of = {
            layer: states.mean(0) if per_token else states.mean((0, 1))[None]
            for layer, states in enumerate(slow.layer_inputs(tiny, pixels))
        }
    unchanged = slow.vanilla_captions(tiny, pixels, GENERATION)
    assert list(found.unchanged) == unchanged and found.samples == tuple(sample.id for sample in samples)
    assert found.lesions == ("mean-input", "confuse") and found.unchanged_scores is None
    assert found.alone.places == ((2,), (0,), (1,)) and found.together.places == tuple(together)
    changed = set()
    for part in (found.alone, found.together):
        assert part.scores.shape == (2, 3, 5)
        for number, name in enumerate(found.lesions):
            for place, layers in enumerate(part.places):
                with slow.lesioned(tiny, name, {layer: of[layer] for layer in layers}):
                    said = slow.vanilla_captions(tiny, pixels, GENERATION)
                assert list(part.captions[number][place]) == said
                scores = Overlap().score([headprune.ScoreItem(*pair) for pair in zip(said, unchanged, strict=True)])
                assert part.scores[number, place].tolist() == scores
                assert part.intervals[number][place].mean == pytest.approx(np.mean(scores))
                changed |= {(name, layers)} if said != unchanged else set()
    assert {name for name, _ in changed} == set(LESIONS) and len(changed) > 6
    assert slow.vanilla_captions(tiny, pixels, GENERATION) == unchanged


def test_the_mean_of_one_picture_is_no_lesion_to_it(tiny, samples):
    for sample in samples:
        means = mean_inputs(tiny, [sample], range(3), BATCH)
        found = experiment(tiny, [sample], range(3), means, together=[(0, 1, 2)])
        assert {said for row in found.alone.captions for (said,) in row} == {*found.unchanged}
        assert (found.alone.scores == 1).all() and (found.together.scores == 1).all()


def test_another_pictures_mean_is_one(tiny, samples):
    means = mean_inputs(tiny, samples[:1], range(3), BATCH)
    found = experiment(tiny, samples[1:], range(3), means)
    assert (found.alone.scores < 1).any(axis=(1, 2)).all()
    assert found.mean_samples == 1


def test_a_range_of_one_layer_is_that_layer_alone(tiny, samples):
    means = mean_inputs(tiny, samples, range(3), BATCH)
    found = experiment(tiny, samples, [0, 1, 2], means, together=[(0,), (1,), (2,)])
    assert found.together.captions == found.alone.captions
    assert (found.together.scores == found.alone.scores).all()


def test_gold_is_what_a_scorer_that_needs_it_compares_with(tiny, samples):
    means = mean_inputs(tiny, samples, [1], BATCH)
    scorer = GoldOverlap()
    found = experiment(tiny, samples, [1], means, scorer, lesions=["confuse"])
    assert found.alone.scores.shape == (1, 1, 5) and found.together.scores.shape == (1, 0, 0)

    def against_gold(said):
        rows = zip(said, samples, strict=True)
        return scorer.score([headprune.ScoreItem(caption, "", sample.captions) for caption, sample in rows])

    assert found.unchanged_scores.tolist() == against_gold(found.unchanged)
    assert found.alone.scores[0, 0].tolist() == against_gold(found.alone.captions[0][0])
    assert found.unchanged_interval.mean == pytest.approx(found.unchanged_scores.mean())
    assert found.unchanged_scores.any()


def test_a_layer_that_lost_all_its_heads_has_lesions_too(tiny, samples, pictures):
    s = np.ones((3, 4), np.float32)
    s[1], s[2, :3] = 0, 0
    small = sliced(tiny, s)
    assert small.geometry.heads_in == (4, 0, 1)
    means = mean_inputs(small, samples, range(3), BATCH)
    found = experiment(small, samples, range(3), means, together=[(0, 1, 2)])
    with torch.no_grad():
        of = {layer: states.mean(0) for layer, states in enumerate(slow.layer_inputs(small, small.prepare(pictures)))}
    for number, name in enumerate(LESIONS):
        for place, layers in enumerate([(0,), (1,), (2,)]):
            with slow.lesioned(small, name, {layer: of[layer] for layer in layers}):
                said = slow.vanilla_captions(small, small.prepare(pictures), GENERATION)
            assert list(found.alone.captions[number][place]) == said
    # What a layer without heads says is its bias, whatever it reads.
    assert found.alone.captions[0][1] == found.unchanged


def test_two_passes_over_the_pictures_and_one_look_at_each_mean(tiny, samples):
    calls: Counter[str] = Counter()
    rows: list[int] = []
    tiny.tower.register_forward_hook(lambda module, args, output: calls.update(tower=1))
    for site in tiny.sites:
        site.qkv[0].register_forward_hook(lambda module, args, output: calls.update(attention=len(args[0])))
    decode = tiny.decode
    tiny.decode = lambda states, *how: rows.append(len(states)) or decode(states, *how)
    means = mean_inputs(tiny, samples, range(3), BATCH)
    assert calls == {"tower": 3, "attention": 5 * 3}
    calls.clear()
    seen: list[int] = []
    experiment(tiny, samples, range(3), means, batch=Batch(16, 2), progress=seen.append)
    captions = 5 * (1 + 3 * 2)
    assert seen == [2, 4, 5] and rows == [16, 16, captions - 32]
    # The pass itself, each mean once, and of each of two lesions the layers behind the lesioned one.
    assert calls["attention"] == 5 * 3 + 3 + 2 * 5 * (2 + 1)


def test_names_and_sizes_that_do_not_fit_are_refused(tiny, samples):
    with pytest.raises(UsageError, match=r"no lesion called 'mean'.*mean-input, confuse"):
        experiment(tiny, samples, [0], mean_inputs(tiny, samples, [0], BATCH), lesions=["mean"])
    with pytest.raises(UsageError, match="no picture"):
        mean_inputs(tiny, [], [0], BATCH)


def test_demo_lesions_say_what_plain_hooks_make_it_say():
    adapter = headprune.load_model("demo")
    data = headprune.open_dataset("demo").samples
    samples, others = data[:6], data[100:120]
    batch, generation = Batch(16, 4), Generation()
    means = mean_inputs(adapter, others, range(6), batch)
    found = experiment(adapter, samples, range(6), means, batch=batch, generation=generation, together=[(2, 3, 4)])
    pixels = adapter.prepare([sample.load() for sample in samples])
    with torch.no_grad():
        inputs = slow.layer_inputs(adapter, adapter.prepare([sample.load() for sample in others]))
    for number, name in enumerate(LESIONS):
        for part in (found.alone, found.together):
            for place, layers in enumerate(part.places):
                with slow.lesioned(adapter, name, {layer: inputs[layer].mean(0) for layer in layers}):
                    assert list(part.captions[number][place]) == slow.vanilla_captions(adapter, pixels, generation)
    assert (found.alone.scores < 1).any() and (found.alone.scores == 1).any()


@pytest.mark.parametrize("name", ["pix2struct", "llava-next", "qwen3_vl"])
def test_pictures_of_several_sizes_have_means_over_tokens_only(name, tmp_path):
    known = ZOO[name]
    known.build(tmp_path)
    adapter = headprune.load_model(str(tmp_path))
    samples, generation = dataset(known.pictures()).samples, known.generation(GENERATION)
    live = range(known.layers - known.dead)
    with pytest.raises(UsageError, match=r"one size only.*--means all"):
        mean_inputs(adapter, samples, live, BATCH)
    with pytest.raises(UsageError, match=r"one size only.*--means all"):
        experiment(adapter, samples, live, mean_inputs(adapter, samples[:1], live, BATCH), generation=generation)
    means = mean_inputs(adapter, samples, live, BATCH, per_token=False)
    states = [
        adapter.trace(some.pixels, [0], form=some.form).captures[0].residual for some in prepared(adapter, samples)
    ]
    every = torch.cat([some.double().flatten(0, 1) for some in states])
    torch.testing.assert_close(means.of[0], every.mean(0, keepdim=True), atol=1e-5, rtol=1e-5)
    found = experiment(adapter, samples, live, means, generation=generation, together=[tuple(live)])
    assert (found.alone.scores < 1).any()
    for row, sample in enumerate(samples):
        single = experiment(adapter, [sample], live, means, generation=generation, together=[tuple(live)])
        for part, alike in ((found.alone, single.alone), (found.together, single.together)):
            assert [[said[row] for said in place] for place in part.captions] == [
                [said[0] for said in place] for place in alike.captions
            ]
