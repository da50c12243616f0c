"""The identities of the core on every supported family: one that is not in `tests/support/zoo.py` is not supported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from headprune_transformers.families import FAMILIES
from transformers.utils import is_torchvision_available

import headprune
from headprune import Dataset, Generation, ModelError, Sample, applied, export, load_model, sliced
from headprune.edits.edit import scaled
from headprune.edits.lesions import LESIONS
from headprune.hooks.catalogue import catalogue
from headprune.perspectives.dataflow import data_flow
from headprune.perspectives.lesion import lesion_layers
from headprune.perspectives.lesioner import Lesioner
from headprune.perspectives.means import mean_inputs
from headprune.scoring.gradients import head_gradients
from headprune.scoring.sweep import SweepPlan, sweep
from headprune.towers.batches import Batch, prepared
from headprune.towers.replay import advance, heads_reading, replay, stopped
from headprune.types import DecodePoint
from tests.support import places, slow
from tests.support.samples import Overlap
from tests.support.slow_flow import slow_flow
from tests.support.zoo import ZOO, Tiny

GENERATION = Generation(max_new_tokens=6)


@pytest.fixture(scope="module", params=ZOO)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def known(name) -> Tiny:
    return ZOO[name]


@pytest.fixture(scope="module")
def folder(known, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("zoo")
    known.build(path)
    return path


@pytest.fixture
def adapter(folder):
    return load_model(str(folder))


@pytest.fixture(scope="module")
def generation(known) -> Generation:
    return known.generation(GENERATION)


@pytest.fixture
def samples(known) -> list[Sample]:
    return [Sample(f"p{n}", (f"word{n} word9",), lambda p=p: p) for n, p in enumerate(known.pictures())]


@pytest.fixture
def groups(adapter, samples):
    """Pictures of one form each."""
    found = prepared(adapter, samples)
    assert len(found) == len({*(map(str, (group.form for group in found)))})
    return found


def opened(group):
    return [sample.load() for sample in group.samples]


def some_heads(known: Tiny) -> np.ndarray:
    """Coefficients that scale, silence and turn heads around; a layer loses all, where a tower can spare it."""
    s = np.ones((known.layers, known.heads), np.float32)
    s[0, 0], s[0, 1] = 0, 0.5
    s[1, -1], s[1, 0] = -1.5, 2
    s[-1 - known.dead] = 0
    return s


def close(found, expected, tolerance=5e-5):
    size = float(expected.abs().max())
    torch.testing.assert_close(found, expected, atol=tolerance * max(1, size), rtol=tolerance)


def test_every_family_is_in_the_suite():
    assert {known.family for known in ZOO.values()} == {*FAMILIES}


def test_geometry(adapter, known, groups):
    geometry = adapter.geometry
    assert (geometry.layers, geometry.heads, geometry.width) == (known.layers, known.heads, known.width)
    assert (geometry.cls, geometry.dead) == (known.cls, known.dead)
    assert groups[0].pixels.shape[0] == len(groups[0].samples)
    assert adapter.last_states(groups[0].pixels, groups[0].form).shape[:2] == (len(groups[0].samples), known.tokens)
    outline = headprune.towers.load.outline_model(str(adapter.ref))
    assert outline.geometry == geometry and outline.geometry.dead == known.dead
    assert outline.parameters == adapter.parameter_count()
    assert outline.tokens == adapter.tokens


def test_the_model_says_what_its_documentation_makes_it_say(adapter, known, groups, generation):
    said = []
    for group in groups:
        states = adapter.last_states(group.pixels, group.form)
        said += adapter.decode(states, generation, group.form)
        assert said[-len(states) :] == known.vanilla(adapter, opened(group), generation)[0]
    assert len({*said}) > 1, "the tiny model says too little for this to show anything"


def test_every_layer_says_what_a_model_without_the_later_ones_says(adapter, known, groups, generation):
    said = set()
    for group in groups:
        states = adapter.trace(group.pixels, depths=range(1, known.layers + 1), form=group.form).states
        for layer in range(known.layers):
            with slow.stopped_after(adapter, layer):
                expected = known.vanilla(adapter, opened(group), generation)[0]
            assert adapter.decode(states[layer + 1], generation, group.form) == expected
            said.update(expected)
    assert len(said) > 2


def test_batched_equals_one_by_one(adapter, groups, generation):
    for group in groups:
        states = adapter.trace(group.pixels, depths=[2], form=group.form).states[2]
        single = [adapter.decode(states[row : row + 1], generation, group.form)[0] for row in range(len(states))]
        assert adapter.decode(states, generation, group.form) == single


def test_contributions_and_bias_sum_to_the_attention_output(adapter, known, groups):
    """Eq. 3-6: sum_h x[h] W[h] + b is what the attention answers, at every token."""
    dh = adapter.geometry.head_width
    for group in groups:
        captures = adapter.trace(group.pixels, range(known.layers), form=group.form).captures
        for layer, capture in captures.items():
            output = adapter.sites[layer].output
            parts = [
                capture.heads[..., head * dh : (head + 1) * dh] @ output.weight[:, head * dh : (head + 1) * dh].T
                for head in range(known.heads)
            ]
            attended = capture.attended[0] if isinstance(capture.attended, tuple) else capture.attended
            bias = 0 if output.bias is None else output.bias
            close((sum(parts) + bias).reshape(attended.shape), attended, 1e-5)


def keeping(values, layer):
    return lambda module, args, output: values.update({layer: output})


def implementations(adapter):
    configs = [module.config for module in adapter.model.modules() if hasattr(module, "config")]
    return [config._attn_implementation for config in configs]


def test_attention_weights_are_those_that_made_the_head_outputs(adapter, known, groups):
    """x[h] = a[h] v[h], with v as the projection gives it; and the model attends as before."""
    dh = adapter.geometry.head_width
    for group in groups:
        values: dict[int, torch.Tensor] = {}
        handles = [site.qkv[-1].register_forward_hook(keeping(values, site.index)) for site in adapter.sites]
        captures = adapter.trace(group.pixels, range(known.layers), form=group.form).captures
        for handle in handles:
            handle.remove()
        before = implementations(adapter)
        found = adapter.attention(group.pixels, range(known.layers), group.form)
        for layer, capture in captures.items():
            rows, tokens = capture.heads.shape[:2]
            weights, v = found[layer].weights, values[layer].reshape(rows, tokens, -1)[..., -known.heads * dh :]
            assert weights.shape == (rows, known.heads, tokens, tokens)
            # A token of padding takes something, too, and nobody takes from it.
            close(weights.sum(-1), torch.ones(weights.shape[:-1]), 1e-5)
            assert weights.min() >= 0 and weights.std() > 1e-4
            close(found[layer].values.transpose(1, 2).flatten(2), v, 1e-5)
            x = weights @ found[layer].values
            close(x.transpose(1, 2).flatten(2), capture.heads, 1e-5)
        assert implementations(adapter) == before
        again = adapter.trace(group.pixels, range(known.layers), form=group.form).captures
        assert all(torch.equal(again[layer].heads, captures[layer].heads) for layer in captures)


def test_the_data_flow_is_exact(adapter, known, samples, groups):
    """Eq. 3-6: heads, bias and MLP are the layer's update, and sources a head's contribution; as the slow twin says."""
    layers, batch = range(known.layers), Batch(7, 4)
    averaged, read = (data_flow(adapter, samples, layers, batch, token) for token in (None, 1))
    assert max(averaged.error.max(), read.error.max()) < 1e-5
    for found in (averaged, read):
        share, sources = found.chosen.share, found.sources
        np.testing.assert_allclose(share.heads.sum(-1) + share.bias + share.mlp, 1, atol=1e-3)
        total = np.stack([source.projection.sum(-1) for source in sources])
        np.testing.assert_allclose(total, found.chosen.projection.heads, atol=1e-4 * np.abs(total).max())
    for group in groups:
        rows = [read.samples.index(sample.id) for sample in group.samples]
        for layer in layers:
            twin = slow_flow(adapter, group.pixels, group.form, layer)
            near(flat(read.at.norm, rows, layer), twin.norm[:, 1])
            near(flat(read.at.projection, rows, layer), twin.projection[:, 1])
            near(flat(averaged.mean.projection, rows, layer), twin.projection.mean(axis=1))
            near(flat(averaged.mean.share, rows, layer), (twin.projection / twin.update[..., None]).mean(axis=1))
            for kind in ("norm", "projection"):
                expected = getattr(twin, f"source_{kind}")
                near(np.stack([getattr(read.sources[row], kind)[layer] for row in rows]), expected[:, :, 1])
                of_all = np.stack([getattr(averaged.sources[row], kind)[layer] for row in rows])
                near(of_all, expected.mean(axis=2))


def flat(parts, rows, layer):
    """[B, H + 2]: the heads, the bias and the MLP."""
    return np.concatenate([parts.heads, parts.bias[..., None], parts.mlp[..., None]], axis=-1)[rows, layer]


def near(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()), rtol=1e-4)


@pytest.mark.parametrize("size", places.SIZES, ids=str)
def test_grids_name_the_tokens_of_each_place(adapter, size):
    places.check_grids(adapter, size)


def test_all_ones_change_nothing(adapter, known, groups):
    for group in groups:
        depths = range(known.layers + 1)
        traced = adapter.trace(group.pixels, range(known.layers), depths, group.form)
        for layer, capture in traced.captures.items():
            rows = scaled(capture, torch.ones(1, known.heads))
            states = replay(adapter.sites[layer], capture, capture.residual, rows)
            close(stopped(adapter.reads, states, capture), traced.states[layer + 1], 1e-6)
            close(advance(adapter.sites, adapter.reads, states, capture), traced.states[known.layers], 1e-6)


@pytest.mark.parametrize("point", DecodePoint)
@pytest.mark.parametrize("edit", ["isolate", "ablate", "scale"])
def test_replay_equals_hooks(adapter, known, samples, generation, edit, point):
    live = known.layers - known.dead
    chosen = catalogue().load("edit", edit).configured({})
    plan = SweepPlan(tuple(range(live)), (), chosen, point, generation, Batch(rows=7, pictures=4))
    said: dict[tuple[str, int, int], str] = {}
    sweep(adapter, samples, plan, {}, said.update)
    pictures = known.pictures()

    def speak(adapter, pictures, generation):
        return known.vanilla(adapter, pictures, generation)[0]

    for layer in range(live):
        for head in range(known.heads):
            expected = slow.variant(adapter, edit, pictures, layer, head, point is DecodePoint.LAST, generation, speak)
            assert [said[sample.id, layer, head] for sample in samples] == expected
    assert len({*said.values()}) > 2, "the edits change too little for this to show anything"


def test_an_edit_has_an_effect_where_the_model_reads_it_and_only_there(adapter, known, groups):
    """Also fails when a hook did not fire."""
    group = groups[0]
    plain = adapter.last_states(group.pixels, group.form)
    for layer in range(known.layers):
        for head in range(known.heads):
            s = np.ones((known.layers, known.heads), np.float32)
            s[layer, head] = 0
            with applied(adapter, s):
                changed = not torch.equal(adapter.last_states(group.pixels, group.form), plain)
            assert changed == (layer < known.layers - known.dead), f"layer {layer}, head {head}"
    assert torch.equal(adapter.last_states(group.pixels, group.form), plain)


def test_applied_equals_hooks_and_goes_away(adapter, known, groups, generation):
    s = some_heads(known)
    before = {key: value.clone() for key, value in adapter.model.state_dict().items()}
    for group in groups:
        with slow.hooked_tower(adapter, s):
            states = adapter.last_states(group.pixels, group.form)
            said, logits = known.vanilla(adapter, opened(group), generation)
        with applied(adapter, s):
            close(adapter.last_states(group.pixels, group.form), states)
            found, found_logits = known.vanilla(adapter, opened(group), generation)
        assert found == said
        close(found_logits, logits, 1e-3)
        assert not torch.allclose(known.vanilla(adapter, opened(group), generation)[1][0], logits[0], atol=1e-4)
    after = adapter.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_teacher_forcing_agrees_with_generation(adapter, known, groups, generation):
    compared = 0
    for group in groups:
        said, logits = known.vanilla(adapter, opened(group), generation)
        forced = adapter.likelihood(adapter.last_states(group.pixels, group.form), said, generation, group.form)
        assert forced.log_probs.shape == (*forced.tokens.shape, adapter.distributions(generation)[1])
        close(forced.log_probs.exp().sum(-1), torch.ones(forced.tokens.shape), 1e-4)
        for row in range(len(said)):
            for step in range(min(len(logits), int(forced.mask[row].sum()))):
                close(forced.log_probs[row, step], logits[step, row].float().log_softmax(-1), 1e-3)
                compared += 1
                # Where the caption's tokens are not those that were generated, the rest is another text.
                if forced.tokens[row, step] != logits[step, row].argmax():
                    break
    assert compared >= known.compared


def test_derivatives_are_the_losses_slopes(adapter, known, groups, generation):
    group = groups[0]
    # In double precision, as far as the models compute in it, for steps so small that no kink lies between them.
    adapter.model.double()
    pixels = group.pixels.double()
    said = adapter.decode(adapter.last_states(pixels, group.form), generation, group.form)
    found = head_gradients(adapter, pixels, said, generation, group.form)
    assert found.shape == (len(said), known.layers, known.heads)
    assert found[:, : known.layers - known.dead].abs().sum() > 0
    assert not found[:, known.layers - known.dead :].any()

    def loss(step: float) -> torch.Tensor:
        s = np.ones((known.layers, known.heads), np.float32)
        s[0, 1] += step
        with applied(adapter, s), torch.no_grad():
            states = adapter.last_states(pixels, group.form)
            forced = adapter.likelihood(states, said, generation, group.form)
        return -forced.chosen.sum(-1) / forced.mask.sum(-1)

    slope = (loss(5e-4) - loss(-5e-4)) / 1e-3
    torch.testing.assert_close(found[:, 0, 1], slope, atol=2e-3, rtol=5e-2)


@pytest.mark.parametrize("how", ["fold", "slice"])
def test_exported_says_what_the_patched_model_says(adapter, known, groups, generation, tmp_path, how):
    s, out = some_heads(known), tmp_path / "out"
    if how == "slice" and known.slices is not True:
        with pytest.raises(ModelError, match=known.slices):
            export(adapter, s, out, {}, how="slice")
        assert not out.exists()
        return
    export(adapter, s, out, {}, how=how)
    again = load_model(str(out))
    expected = adapter.parameter_count() - (0 if how == "fold" else lost_parameters(adapter, s))
    assert again.parameter_count() == expected
    for group in groups:
        with slow.hooked_tower(adapter, s):
            states = adapter.last_states(group.pixels, group.form)
            said, logits = known.vanilla(adapter, opened(group), generation)
        close(again.last_states(group.pixels, group.form), states)
        found, found_logits = known.vanilla(again, opened(group), generation)
        assert found == said == again.decode(states, generation, group.form)
        close(found_logits, logits, 1e-3)


def lost_parameters(adapter, s: np.ndarray) -> int:
    """What the silent heads take with them: rows of q, k and v with their biases, columns of the output projection."""
    lost = 0
    for site, row in zip(adapter.sites, s, strict=True):
        columns = int((row == 0).sum()) * adapter.geometry.head_width
        lost += columns * site.output.out_features
        for linear in site.qkv:
            rows = columns * (3 if len(site.qkv) == 1 else 1)
            lost += rows * (linear.in_features + (linear.bias is not None))
    return lost


def test_sliced_in_memory_leaves_the_model_as_it_is(adapter, known, groups):
    if known.slices is not True:
        with pytest.raises(ModelError, match=known.slices):
            sliced(adapter, some_heads(known))
        return
    group = groups[0]
    plain = adapter.last_states(group.pixels, group.form)
    s = some_heads(known)
    made = sliced(adapter, s)
    assert made.geometry.heads_in == tuple(int((row != 0).sum()) for row in s)
    attention, before = (one.attention(group.pixels, range(known.layers), group.form) for one in (made, adapter))
    # The first layer's other heads attend as they did; a layer may have none.
    for kind in ("weights", "values"):
        found, unsliced = ({layer: getattr(one, kind) for layer, one in all_.items()} for all_ in (attention, before))
        close(found[0], unsliced[0][:, 1:])
        assert [some.shape[1] for some in found.values()] == list(made.geometry.heads_in)
        assert all(some.shape[2:] == unsliced[layer].shape[2:] for layer, some in found.items())
    with applied(adapter, s):
        close(made.last_states(group.pixels, group.form), adapter.last_states(group.pixels, group.form))
    assert torch.equal(adapter.last_states(group.pixels, group.form), plain)


def test_the_cards_lines_load_a_folder_without_headprune(adapter, known, tmp_path):
    """Run in a process that cannot import headprune; loads the very numbers."""
    s = some_heads(known)
    how = "slice" if known.slices is True else "fold"
    export(adapter, s, tmp_path / "out", {}, how=how)
    again = load_model(str(tmp_path / "out"))
    code = (
        "import sys, json\n"
        "sys.modules['headprune'] = sys.modules['headprune_transformers'] = None\n"
        f"FOLDER = {str(tmp_path / 'out')!r}\n{runnable(again.loading())}\n"
        "print(json.dumps({k: float(v.double().abs().sum()) for k, v in model.state_dict().items()}))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout.splitlines()[-1])
    expected = {key: float(value.double().abs().sum()) for key, value in again.model.state_dict().items()}
    assert found == pytest.approx(expected)


def runnable(lines: str) -> str:
    """Without what is said to need torchvision, where there is none."""
    return "\n".join(line for line in lines.splitlines() if is_torchvision_available() or "torchvision" not in line)


def test_lesions_by_the_mean_of_one_picture_are_none_to_it(adapter, known, groups, generation):
    """Section 4.2: states and captions stay, for each layer alone and for all at once."""
    live = range(known.layers - known.dead)
    pictures = [(some.pixels[:1], some.samples[0], some.form) for some in groups]
    for pixels, sample, form in pictures:
        means = mean_inputs(adapter, [sample], live, Batch(8, 2))
        traced = adapter.trace(pixels, live, [known.layers], form)
        for place in [*((layer,) for layer in live), tuple(live)]:
            for name in LESIONS:
                found = Lesioner(adapter, means).states(traced, place, [name])
                close(found, traced.states[known.layers], 1e-5)
        done = lesion_layers(adapter, [sample], live, means, Overlap(), generation, Batch(8, 2), together=[live])
        assert {said for part in (done.alone, done.together) for row in part.captions for (said,) in row} == {
            *done.unchanged
        }


def test_heads_that_read_another_picture_say_what_they_say_of_it(adapter, known, groups):
    """What a lesion lets them read, they read: norm, attention and all."""
    group = max(groups, key=lambda group: len(group.samples))
    assert len(group.samples) > 1
    one, other = (
        adapter.trace(group.pixels[row : row + 1], range(known.layers), form=group.form).captures for row in (0, 1)
    )
    for layer, site in enumerate(adapter.sites):
        close(heads_reading(site, one[layer], other[layer].residual), other[layer].heads, 1e-5)
        assert not torch.allclose(one[layer].heads, other[layer].heads, atol=1e-3)


def test_algorithm_1_equals_its_slow_twin(adapter, known, samples, generation):
    dataset = Dataset("tiny", tuple(samples), labels=known.labels)
    settings = {"samples": 3, "scorer": "bleu", "edit": "ablate", "decode_at": "last"}
    result = headprune.score(adapter, dataset, generation={"max_new_tokens": 6}, **settings)
    live = known.layers - known.dead
    assert result.layers == tuple(range(live))
    assert np.isnan(result.patch.importance[live:]).all() and np.isfinite(result.patch.importance[:live]).all()
    np.testing.assert_allclose(result.patch.alpha[:live].sum(-1), 1, rtol=1e-5)
    scorer = headprune.make_scorer("bleu", {})
    drawn = headprune.draw(dataset, 3, 0).samples
    pictures = [sample.load() for sample in drawn]
    before = known.vanilla(adapter, pictures, generation)[0]

    def scores(said):
        rows = zip(said, before, drawn, strict=True)
        return np.array([scorer.score([headprune.ScoreItem(c, b, s.captions)])[0] for c, b, s in rows])

    for layer in range(live):
        for head in range(known.heads):
            said = slow.variant(
                adapter, "ablate", pictures, layer, head, True, generation, lambda *a: known.vanilla(*a)[0]
            )
            expected = (scores(before) - scores(said)).mean()
            assert result.patch.importance[layer, head] == pytest.approx(expected, abs=1e-6)
