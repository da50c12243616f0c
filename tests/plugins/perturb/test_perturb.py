"""The edits of headprune_perturb against plain hooks in the models' own forwards, and what each of them is."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext

import numpy as np
import pytest
import torch
from headprune_likelihood.logit import Logit
from headprune_perturb.noise import Noise
from headprune_perturb.resample import Resample
from headprune_perturb.temperature import AttentionTemperature, tempered

from headprune import Context, Generation, UsageError, load_model, per_head
from headprune.hooks.catalogue import catalogue
from headprune.scoring.algorithm import score_heads
from headprune.scoring.contexts import Contexts
from headprune.scoring.sampling import draw
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.sweep import SweepPlan, sweep
from headprune.scoring.worker import LocalEngine
from headprune.testing import EditContract
from headprune.towers.batches import Batch, traces
from headprune.towers.replay import advance, replay, stopped
from headprune.types import DecodePoint, Schedule
from tests.support import slow, slow_edits
from tests.support.samples import dataset
from tests.support.zoo import ZOO

EDITS = ("resample", "noise", "attention-temperature")
# One projection of q, k and v; three; patches of many pictures in one row, whose windows are kept apart.
FAMILIES = ("blip2-t5", "llava", "qwen2_5_vl")
GENERATION = Generation(max_new_tokens=5)
PINNED = [[0.740571, 1.707447], [0.567822, 0.449882]]


class TestResample(EditContract):
    @pytest.fixture
    def edit(self):
        return Resample()


class TestNoise(EditContract):
    @pytest.fixture
    def edit(self):
        return Noise()


class TestAttentionTemperature(EditContract):
    @pytest.fixture
    def edit(self):
        return AttentionTemperature()


@pytest.fixture(scope="module", params=FAMILIES)
def known(request):
    return ZOO[request.param]


@pytest.fixture(scope="module")
def folder(known, tmp_path_factory):
    path = tmp_path_factory.mktemp("zoo")
    known.build(path)
    return str(path)


@pytest.fixture
def adapter(folder):
    return load_model(folder)


@pytest.fixture(scope="module")
def shown(known):
    """Three pictures of one size: donors have to be."""
    return known.pictures()[:: len(known.sizes)][:3]


def edit_named(name, **options):
    return catalogue().load("edit", name).configured(options)


@pytest.mark.parametrize("name", EDITS)
def test_states_are_those_of_hooked_forwards(adapter, known, shown, name):
    """Head outputs, the edited layer's output and the last layer's; pictures in batches of two and one."""
    samples = dataset(shown).samples
    layers = range(known.layers)
    contexts = Contexts(adapter, samples, layers, edit_named(name), Batch(64, 2))
    changed = 0.0
    for some, traced in traces(adapter, samples, contexts.batch, contexts.capture):
        following = [shown[(samples.index(sample) + 1) % len(samples)] for sample in some.samples]
        donors = adapter.prepare(following)
        for capture, context in contexts.of(some, traced):
            layer = capture.layer
            rows = edit_named(name).variants(capture, range(known.heads), context)
            states = replay(adapter.sites[layer], capture, rows.residual, rows.heads)
            last = advance(adapter.sites, adapter.reads, states, capture)
            for head in range(known.heads):
                mine = slice(head * len(following), (head + 1) * len(following))
                with slow_edits.edited(adapter, name, layer, head, some.pixels, donors, some.form):
                    twin = adapter.trace(some.pixels, [layer], [layer + 1, known.layers], some.form)
                close(rows.heads[mine], twin.captures[layer].heads)
                close(stopped(adapter.reads, states[mine], capture), twin.states[layer + 1])
                close(last[mine], twin.states[known.layers])
                changed = max(changed, float((rows.heads[mine] - capture.heads).abs().max()))
    assert changed > 0.1


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-4 * max(1.0, float(expected.abs().max())), rtol=1e-4)


@pytest.mark.parametrize("point", DecodePoint)
@pytest.mark.parametrize("name", EDITS)
def test_a_sweep_says_what_hooked_forwards_say(adapter, known, shown, name, point):
    samples = dataset(shown).samples
    pixels, donors = adapter.prepare(shown), adapter.prepare([*shown[1:], shown[0]])
    form = adapter.form(shown[0])
    layers = tuple(range(known.layers - known.dead))
    said: dict[tuple[str, int, int], str] = {}
    plan = SweepPlan(layers, (), edit_named(name), point, GENERATION, Batch(rows=7, pictures=2))
    sweep(adapter, samples, plan, said.update)
    assert len({*said.values()}) > 2, "the edits change too little for this to show anything"
    for layer in layers:
        for head in range(known.heads):
            with slow_edits.edited(adapter, name, layer, head, pixels, donors, form), stopping(adapter, point, layer):
                expected = known.vanilla(adapter, shown, GENERATION)[0]
            assert [said[sample.id, layer, head] for sample in samples] == expected


def stopping(adapter, point, layer):
    """Where a variant of `layer` is put into words."""
    return nullcontext() if point is DecodePoint.LAST else slow.stopped_after(adapter, layer)


@pytest.fixture(scope="module")
def blip2(tmp_path_factory):
    path = tmp_path_factory.mktemp("blip2")
    ZOO["blip2-t5"].build(path)
    return load_model(str(path))


def likelihoods(adapter, pictures, name, **changes):
    data = dataset(pictures)
    base = {"batch": Batch(8, 2), "generation": GENERATION, **changes}
    settings = ScoreSettings((0, 1, 2), edit_named(name), name, Logit(), "logit", **base)
    return score_heads(LocalEngine(adapter), data, draw(data, len(pictures), 0), settings)


@torch.no_grad()
def slow_likelihoods(adapter, pictures, name, point, scale):
    """[m, L, H]: KL(unchanged || changed), the mean over the caption's tokens; layers before are scaled by `scale`."""
    samples = draw(dataset(pictures), len(pictures), 0).samples
    pixels = adapter.prepare([sample.load() for sample in samples])
    values = np.zeros((len(samples), 3, 4))
    for layer, row, head in np.ndindex(3, len(samples), 4):
        one, donor = (pixels[at : at + 1] for at in (row, (row + 1) % len(samples)))
        with stopping(adapter, point, layer):
            (caption,) = slow.vanilla_captions(adapter, one, GENERATION)
            before, _ = slow.next_tokens(adapter, one, caption, GENERATION)
        with ExitStack() as stack:
            for earlier in range(layer):
                stack.enter_context(slow.hooked(adapter, earlier, torch.tensor(scale[earlier])))
            stack.enter_context(slow_edits.edited(adapter, name, layer, head, one, donor))
            stack.enter_context(stopping(adapter, point, layer))
            after, _ = slow.next_tokens(adapter, one, caption, GENERATION)
        values[row, layer, head] = (before.exp() * (before - after)).sum(-1).mean()
    return values


@pytest.mark.parametrize("schedule", Schedule)
@pytest.mark.parametrize("point", DecodePoint)
@pytest.mark.parametrize("name", EDITS)
def test_likelihoods_equal_the_slow_version(blip2, pictures, name, point, schedule):
    """Sequential: what donors say, and what a head attends to, is the changed model's."""
    found = likelihoods(blip2, pictures[:2], name, decode_at=point, schedule=schedule)
    scale = found.patch.scale if schedule is Schedule.SEQUENTIAL else np.ones((3, 4), np.float32)
    expected = slow_likelihoods(blip2, pictures[:2], name, point, scale)
    assert np.ptp(expected) > 0.02
    np.testing.assert_allclose(found.per_sample, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", EDITS)
def test_batch_size_changes_nothing(blip2, pictures, name):
    first, *others = (
        likelihoods(blip2, pictures, name, batch=batch).per_sample for batch in (Batch(1, 1), Batch(7, 2), Batch(64, 5))
    )
    for other in others:
        np.testing.assert_allclose(other, first, atol=1e-4, rtol=1e-5)


@pytest.fixture
def capture(blip2, pictures):
    return blip2.trace(blip2.prepare(pictures), [1]).captures[1]


def test_noise_has_the_heads_own_size_and_no_more(capture):
    own = per_head(capture.heads, 4)
    for scale in (0.0, 0.5, 3.0):
        rows = Noise.configured({"scale": scale}).variants(capture, [2], Context(4))
        added = per_head(rows.heads, 4) - own
        assert not added[:, :, [0, 1, 3]].any()
        sizes = added[:, :, 2].square().mean((1, 2)).sqrt() / own[:, :, 2].square().mean((1, 2)).sqrt()
        torch.testing.assert_close(sizes, torch.full((5,), scale), atol=0, rtol=0.2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_no_noise_changes_no_bit(blip2, pictures, dtype):
    model = blip2.model.to(dtype)
    try:
        capture = blip2.trace(blip2.prepare(pictures), [1]).captures[1]
        rows = Noise.configured({"scale": 0}).variants(capture, range(4), Context(4))
        assert capture.heads.dtype is dtype and torch.equal(rows.heads, capture.heads.repeat(4, 1, 1))
    finally:
        model.float()


def test_each_layer_head_and_seed_has_noise_of_its_own(blip2, pictures):
    captures = blip2.trace(blip2.prepare(pictures[:1]), [0, 1]).captures
    drawn = set()
    for capture in captures.values():
        for seed in (0, 1):
            own = per_head(capture.heads, 4)
            rows = Noise.configured({"seed": seed}).variants(capture, range(4), Context(4))
            for head in range(4):
                added = per_head(rows.heads, 4)[head, :, head] - own[0, :, head]
                drawn.add(round(float(added[0, 0] / own[0, :, head].square().mean().sqrt()), 4))
    assert len(drawn) == 2 * 2 * 4


def test_noise_is_what_it_was_when_patches_were_made():
    """numpy's streams may change with its version: a patch's noise would, too."""
    drawn = Noise()._drawn(1, 2, torch.zeros(1, 2, 2))
    torch.testing.assert_close(drawn, torch.tensor(PINNED), atol=1e-6, rtol=0)


@pytest.mark.parametrize("temperature", [1e-300, 1e-3, 0.5, 1.0, 2.0, 50.0, 1e300])
def test_tempered_weights_are_the_softmax_of_tempered_scores(temperature):
    scores = 5 * torch.randn(2, 3, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    scores[..., 3:] = float("-inf")  # kept apart
    scores[..., 0, 1] = scores[..., 0, 0]  # equal ones stay equal
    found = tempered(scores.softmax(-1).float(), temperature)
    # Against the largest of its row, so that the smallest temperature leaves zeros and minus infinities.
    expected = ((scores - scores.amax(-1, keepdim=True)) / temperature).softmax(-1)
    assert (found[..., 3:] == 0).all()
    torch.testing.assert_close(found.double(), expected, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("noise", {"scale": "-1"}),
        ("noise", {"scale": "nan"}),
        ("noise", {"seed": "-1"}),
        ("attention-temperature", {"temperature": "0"}),
        ("attention-temperature", {"temperature": "inf"}),
    ],
)
def test_settings_out_of_range_are_refused(name, option):
    with pytest.raises(UsageError, match=f"option '{next(iter(option))}'"):
        edit_named(name, **option)
