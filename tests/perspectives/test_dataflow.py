"""The data flow (Eq. 3-6): its identities on the demo, what it does where heads are gone, and its refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import headprune
from headprune import ModelError, UsageError, applied, load_model, open_dataset, sliced
from headprune.perspectives.dataflow import DataFlow, Flow, Parts, data_flow
from headprune.testing.slow_flow import SlowFlow
from headprune.towers import passes
from headprune.towers.batches import Batch
from tests.support.samples import dataset

RAGGED = np.array([[0, 1, 1, 0], [0, 0, 0, 0], [1, 0.5, 1, 1]], np.float32)


def total(parts: Parts) -> np.ndarray:
    return np.nansum(parts.heads, axis=-1) + parts.bias + parts.mlp


def flows(found: DataFlow) -> list[Flow]:
    return [flow for flow in (found.at, found.mean) if flow is not None]


def assert_same(one: DataFlow, other: DataFlow) -> None:
    for mine, theirs in zip(flows(one), flows(other), strict=True):
        for kind in ("norm", "projection", "share"):
            for part in ("heads", "bias", "mlp"):
                pair = (getattr(getattr(flow, kind), part) for flow in (mine, theirs))
                np.testing.assert_allclose(*pair, atol=1e-5, rtol=1e-4)
    for mine, theirs in zip(one.sources, other.sources, strict=True):
        np.testing.assert_allclose(mine.projection, theirs.projection, atol=1e-5, rtol=1e-4)
        np.testing.assert_allclose(mine.norm, theirs.norm, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("token", [0, 7, None])
def test_it_is_exact_on_all_layers_of_the_demo(token):
    adapter, samples = load_model("demo"), open_dataset("demo").samples[:5]
    layers = range(adapter.geometry.layers)
    found = data_flow(adapter, samples, layers, Batch(64, 3), token)
    assert found.samples == tuple(sample.id for sample in samples) and found.layers == tuple(layers)
    assert found.error.shape == (5, len(layers)) and found.error.max() < 1e-5
    assert (found.at is None) == (token is None) and found.token == token
    for flow in flows(found):
        np.testing.assert_allclose(total(flow.share), 1, atol=1e-5)
        np.testing.assert_allclose(total(flow.projection), flow.update, rtol=1e-4)
        # A part goes no further along the update than it goes at all.
        assert (np.abs(flow.projection.heads) <= flow.norm.heads + 1e-5).all()
    for row, source in enumerate(found.sources):
        assert source.projection.shape == (len(layers), adapter.geometry.heads, adapter.tokens)
        along = found.chosen.projection.heads[row]
        np.testing.assert_allclose(source.projection.sum(-1), along, atol=1e-5 * np.abs(along).max())
        # What comes from all sources together is no longer than its pieces.
        assert (found.chosen.norm.heads[row] <= source.norm.sum(-1) + 1e-5).all() or token is None
    assert found.chosen.share.heads.std() > 0.01


def test_it_does_not_hang_on_how_pictures_and_layers_are_batched(tiny, pictures, monkeypatch):
    samples = dataset(pictures).samples
    whole = data_flow(tiny, samples, [2, 0, 1], Batch(64, 5), 3)
    assert whole.layers == (2, 0, 1)
    assert_same(data_flow(tiny, samples, [2, 0, 1], Batch(1, 1), 3), whole)
    runs = []
    encode = tiny.encode
    monkeypatch.setattr(tiny, "encode", lambda *args: runs.append(len(args[0])) or encode(*args))
    monkeypatch.setattr(passes, "budget", lambda device: 1)
    assert_same(data_flow(tiny, samples, [2, 0, 1], Batch(64, 5), 3), whole)
    assert runs == [1] * 15, "each layer of each picture in a pass of its own"


def test_pictures_come_out_in_their_order_and_are_counted(tiny, pictures):
    samples, seen = dataset(pictures).samples, []
    found = data_flow(tiny, samples, [1], Batch(64, 2), 0, seen.append)
    assert seen == [2, 4, 5]
    for row, sample in enumerate(samples):
        assert_same(data_flow(tiny, [sample], [1], Batch(64, 2), 0), one_picture(found, row))


def one_picture(found: DataFlow, row: int) -> DataFlow:
    def of(flow: Flow) -> Flow:
        kinds = [
            Parts(parts.heads[row : row + 1], parts.bias[row : row + 1], parts.mlp[row : row + 1])
            for parts in (flow.norm, flow.projection, flow.share)
        ]
        return Flow(*kinds, update=flow.update[row : row + 1])

    return replace(
        found,
        samples=found.samples[row : row + 1],
        at=of(found.at),
        mean=of(found.mean),
        sources=found.sources[row:][:1],
    )


@pytest.mark.parametrize("token", [0, None])
def test_layers_that_lost_heads(tiny, pictures, token):
    made = sliced(tiny, RAGGED)
    found = data_flow(made, dataset(pictures).samples, range(3), Batch(64, 5), token)
    for flow in flows(found):
        there = np.isfinite(flow.share.heads).all(axis=0)
        assert there.tolist() == [[True, True, False, False], [False] * 4, [True] * 4]
        np.testing.assert_allclose(total(flow.share), 1, atol=1e-4)
    twin = SlowFlow(made, made.prepare(pictures), None, 0)
    at = twin.projection[:, 0] if token == 0 else twin.projection.mean(axis=1)
    np.testing.assert_allclose(found.chosen.projection.heads[:, 0, :2], at[:, :2], atol=1e-5)
    assert np.isfinite(found.sources[0].norm).all(axis=-1).sum() == 6


def test_a_patch_silences_and_scales_contributions(tiny, pictures):
    samples = dataset(pictures).samples
    plain = data_flow(tiny, samples, [0], Batch(64, 5), 0)
    s = np.ones((3, 4), np.float32)
    s[0] = [0, 2, 1, 1]
    with applied(tiny, s):
        patched = data_flow(tiny, samples, [0], Batch(64, 5), 0)
    np.testing.assert_allclose(patched.at.norm.heads, plain.at.norm.heads * s[:1], rtol=1e-5)
    assert patched.error.max() < 1e-5 and not patched.sources[0].norm[0, 0].any()


def test_coarse_numbers_are_reckoned_with_in_float32(tiny, pictures):
    samples = dataset(pictures).samples
    exact = data_flow(tiny, samples, range(3), Batch(64, 5), 0)
    tiny.model.to(torch.bfloat16)
    found = data_flow(tiny, samples, range(3), Batch(64, 5), 0)
    assert 1e-5 < found.error.max() < 0.05
    np.testing.assert_allclose(found.mean.share.heads, exact.mean.share.heads, atol=0.05)


@pytest.mark.parametrize(
    ("mlp", "words"),
    [("layer_norm2", "layer 0 miss its update"), ("self_attn", "layer 0 miss its update"), ("idle", "asked 0 times")],
)
def test_a_layout_that_does_not_describe_the_layers_is_found_out(tiny, pictures, mlp, words):
    for site in tiny.sites:
        site.layer.idle = torch.nn.Identity()
    wrong = replace(tiny.layout, mlp=mlp)
    adapter = type(tiny)(tiny.model, tiny.processor, tiny.family, tiny.ref)
    adapter.layout = wrong
    with pytest.raises(ModelError, match=words):
        data_flow(adapter, dataset(pictures).samples, range(3), Batch(64, 5))


@pytest.mark.parametrize("token", [17, 99, -1])
def test_a_token_that_is_not_there(tiny, pictures, token):
    with pytest.raises(UsageError, match=f"no token {token}: .* has 17"):
        data_flow(tiny, dataset(pictures).samples, [0], Batch(64, 5), token)


def test_memory_that_runs_out_halves_the_pictures(tiny, pictures, monkeypatch):
    whole = data_flow(tiny, dataset(pictures).samples, range(3), Batch(64, 5), 0)
    attention = tiny.attention

    def narrow(pixels, layers, form=None):
        if len(pixels) > 2:
            raise MemoryError("no such luck")
        return attention(pixels, layers, form)

    monkeypatch.setattr(tiny, "attention", narrow)
    with pytest.warns(headprune.Notice, match="going on with 2"):
        assert_same(data_flow(tiny, dataset(pictures).samples, range(3), Batch(64, 5), 0), whole)


def test_sources_are_told_by_token_where_nothing_tells_their_place(tiny, pictures, monkeypatch):
    samples = dataset(pictures).samples[:2]
    placed = data_flow(tiny, samples, [0], Batch(64, 5), 0)
    assert all(len(source.grids[0].tokens) == 16 for source in placed.sources)

    def untold(picture):
        raise ModelError("pictures are prepared by dice", "use another processor")

    monkeypatch.setattr(tiny, "grids", untold)
    with pytest.warns(headprune.Notice, match="told by token only: pictures are prepared by dice"):
        found = data_flow(tiny, samples, [0], Batch(64, 5), 0)
    assert [source.grids for source in found.sources] == [(), ()]
    assert_same(found, placed)
