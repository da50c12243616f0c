"""Where layers and heads look, against numbers worked out by hand and against eager attention, picture by picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headprune import Grid, LoadRequest, ModelError, applied, load_model, open_dataset, sliced
from headprune.perspectives.heatmap import _Look, _numbers, given_to_patches, where_layers_look
from headprune.towers import passes
from headprune.towers.batches import Batch
from tests.support.samples import dataset
from tests.support.tiny import HEADS, LAYERS
from tests.support.zoo import ZOO

SQUARE = (0.0, 0.0, 1.0, 1.0)
BATCH = Batch(16, 3)


def test_two_heads_by_hand():
    """Two heads, CLS and four patches on a grid of 2 x 2; what patches take themselves plays no part."""
    weights = torch.full((1, 2, 5, 5), 0.2)
    weights[0, 0, 0] = torch.tensor([0.5, 0.1, 0.2, 0.1, 0.1])
    weights[0, 1, 0] = torch.tensor([0.1, 0.3, 0.0, 0.4, 0.2])
    given = given_to_patches(weights, Grid(2, 2, (1, 2, 3, 4), 0, SQUARE))
    np.testing.assert_allclose(given[0], [[0.1, 0.2, 0.1, 0.1], [0.3, 0.0, 0.4, 0.2]], atol=1e-7)
    look = _Look(given[0].double().numpy(), np.ones(4))
    # ((0.1 + 0.2 + 0.1 + 0.1) + (0.3 + 0.0 + 0.4 + 0.2)) / 2 = (0.5 + 0.9) / 2
    np.testing.assert_allclose(look.map, [0.2, 0.1, 0.25, 0.15], atol=1e-7)
    before = _Look(np.array([[0.2, 0.1, 0.1, 0.2], [0.0, 0.1, 0.1, 0.2]]), np.ones(4))
    # The map before: 0.1 0.1 0.1 0.2, together 0.5. |0.1| + |0| + |0.15| + |-0.05| = 0.3.
    # Cosine: (0.02 + 0.01 + 0.025 + 0.03) / sqrt(0.135 * 0.07) = 0.085 / 0.0972111
    numbers = _numbers({0: before, 1: look}, 1, 5)
    np.testing.assert_allclose(numbers, [0.7, 0.2, 0.3, 1 - 0.085 / (0.135 * 0.07) ** 0.5], atol=1e-6)
    first = _numbers({0: before, 1: look}, 0, 5)
    assert first[0] == pytest.approx(0.5) and np.isnan(first[1:]).all()


def test_without_cls_the_mean_over_patches_by_hand():
    weights = torch.tensor([[[[0.7, 0.3], [0.4, 0.6]]]])
    given = given_to_patches(weights, Grid(1, 2, (1, 0), None, SQUARE))
    np.testing.assert_allclose(given[0, 0], [0.45, 0.55], atol=1e-7)


def test_outliers_by_hand():
    """Norms 1 2 3 4 20: the median is 3, deviations 2 1 0 1 17, MAD 1: above 3 + 5 lies 20, above 3 + 0.5 two."""
    look = _Look(np.full((1, 5), 0.2), np.array([1.0, 20.0, 3.0, 4.0, 2.0]))
    assert look.outliers(5).tolist() == [False, True, False, False, False]
    assert look.outliers(0.5).tolist() == [False, True, False, True, False]
    assert not look.outliers(0).any() and not look.outliers(17).any()
    # Left out of the distance, not of the number.
    other = _Look(np.full((1, 5), 0.1), np.ones(5))
    numbers = _numbers({0: other, 1: look}, 1, 5)
    np.testing.assert_allclose(numbers, [1.0, 0.5, 0.4, 0.0], atol=1e-12)


def eager_maps(folder: str, pixels: torch.Tensor, tower: str) -> list[np.ndarray]:
    """[layers] of [B, H, T, T], as transformers' own slow implementation hands them out."""
    adapter = load_model(folder)
    adapter.model.set_attn_implementation("eager")
    with torch.no_grad():
        said = adapter.model.get_submodule(tower)(pixels, output_attentions=True)
    return [layer.double().numpy() for layer in said.attentions]


@pytest.mark.parametrize("batch", [Batch(1, 1), BATCH])
def test_maps_are_those_of_eager_attention(tiny, tiny_folder, pictures, batch, monkeypatch):
    if batch.pictures == 1:
        # No room for two layers at once.
        monkeypatch.setattr(passes, "budget", lambda device: 1)
    found = where_layers_look(tiny, dataset(pictures).samples, [2, 0], batch, k=0)
    weights = eager_maps(str(tiny_folder), tiny.prepare(pictures), tiny.layout.tower)
    assert found.reader == "cls" and found.layers == (2, 0)
    for row, picture in enumerate(found.pictures):
        assert (picture.sample, picture.outliers) == (f"p{row}.png", ())
        for place, layer in enumerate(found.layers):
            a = weights[layer][row]
            np.testing.assert_allclose(picture.heads[place], a[:, 0, 1:].reshape(HEADS, 4, 4), atol=1e-5)
            np.testing.assert_allclose(picture.maps[place].ravel(), a[:, 0, 1:].mean(axis=0), atol=1e-5)
            assert found.attention[row, place] == pytest.approx(a[:, 0, 1:].sum(axis=-1).mean(), abs=1e-5)
            assert picture.heads[place].std() > 1e-3
        before = weights[1][row][:, 0, 1:].mean(axis=0)
        here = weights[2][row][:, 0, 1:].mean(axis=0)
        assert found.change[row, 0] == pytest.approx(here.sum() - before.sum(), abs=1e-5)
        assert found.l1[row, 0] == pytest.approx(abs(here - before).sum(), abs=1e-5)
        cosine = 1 - here @ before / (here @ here * (before @ before)) ** 0.5
        assert found.cosine[row, 0] == pytest.approx(cosine, abs=1e-5)
    assert np.isnan(found.change[:, 1]).all() and found.mean_change[1] is None
    assert found.mean_attention[0].mean == pytest.approx(found.attention[:, 0].mean())


def test_outliers_are_left_out_and_listed(tiny, pictures):
    samples = dataset(pictures).samples
    found = where_layers_look(tiny, samples, range(LAYERS), BATCH, k=1.5)
    whole = where_layers_look(tiny, samples, range(LAYERS), BATCH, k=0)
    states = tiny.trace(tiny.prepare(pictures), depths=range(1, LAYERS + 1)).states
    listed = 0
    for row, picture in enumerate(found.pictures):
        for layer in range(LAYERS):
            norms = states[layer + 1][row, 1:].norm(dim=-1).double().numpy().reshape(4, 4)
            median = np.median(norms)
            expected = norms > median + 1.5 * np.median(abs(norms - median))
            assert (np.isnan(picture.maps[layer]) == expected).all()
            assert (np.isnan(picture.heads[layer]) == expected).all()
            mine = [one for one in picture.outliers if one.layer == layer]
            assert [(one.row, one.column) for one in mine] == [*map(tuple, np.argwhere(expected))]
            np.testing.assert_allclose([one.norm for one in mine], norms[expected], rtol=1e-5)
            kept = whole.pictures[row].maps[layer][~expected]
            np.testing.assert_allclose(picture.maps[layer][~expected], kept, atol=1e-6)
            listed += len(mine)
    assert listed > 3
    np.testing.assert_allclose(found.attention, whole.attention, atol=1e-6)


@pytest.mark.parametrize("name", ["clip", "siglip", "vit", "deit-trocr", "dinov2-registers", "llava", "paligemma"])
def test_maps_of_other_towers_are_those_of_eager_attention(name, tmp_path):
    ZOO[name].build(tmp_path)
    adapter, pictures = load_model(str(tmp_path)), ZOO[name].pictures()[:2]
    live = adapter.geometry.live
    found = where_layers_look(adapter, dataset(pictures).samples, range(live), BATCH, k=0)
    weights = eager_maps(str(tmp_path), adapter.prepare(pictures), adapter.layout.tower)
    cls, tokens = int(adapter.geometry.cls), weights[0].shape[-1]
    before = tokens - 16
    for row, picture in enumerate(found.pictures):
        for layer in range(live):
            a = weights[layer][row][..., before:]
            expected = (a[:, 0] if cls else a.mean(axis=1)).reshape(4, 4, 4)
            np.testing.assert_allclose(picture.heads[layer], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["siglip", "llava-next", "internvl", "qwen2_5_vl", "pix2struct", "blip", "deit"])
def test_every_shape_of_picture_has_its_map(name, tmp_path):
    """Of pictures of several forms in one run, held to the weights of each alone."""
    known = ZOO[name]
    known.build(tmp_path)
    adapter, pictures = load_model(str(tmp_path)), [*known.pictures()[:3], known.pictures()[0].resize((90, 40))]
    found = where_layers_look(adapter, dataset(pictures).samples, [1], BATCH, k=0)
    assert found.reader == ("cls" if known.cls else "mean")
    for row, (picture, maps) in enumerate(zip(pictures, found.pictures, strict=True)):
        grid = adapter.grids(picture)[0]
        assert maps.grid == grid and maps.heads.shape == (1, known.heads, grid.rows, grid.columns)
        weights = adapter.attention(adapter.prepare([picture]), [1], adapter.form(picture))[1].weights[0]
        for head in range(known.heads):
            for place, token in enumerate(grid.tokens):
                a = weights[head, grid.cls, token] if known.cls else weights[head, list(grid.tokens), token].mean()
                assert maps.heads[0, head].ravel()[place] == pytest.approx(float(a), abs=1e-5)
        # A picture's own patches are all that it can give to, but for CLS and the like.
        assert 0 < found.attention[row, 0] <= 1 + 1e-5
        assert known.cls or found.attention[row, 0] == pytest.approx(1, abs=1e-5)


def test_layers_of_fewer_heads_and_of_none(tiny, pictures):
    s = np.ones((LAYERS, HEADS), np.float32)
    s[0, 1:3], s[1] = 0, 0
    samples = dataset(pictures).samples
    found = where_layers_look(sliced(tiny, s), samples, range(LAYERS), BATCH, k=0)
    plain = where_layers_look(tiny, samples, [0], BATCH, k=0)
    assert np.isnan(found.pictures[0].heads).all(axis=(2, 3)).tolist() == [
        [False, False, True, True],
        [True] * 4,
        [False] * 4,
    ]
    np.testing.assert_allclose(found.pictures[0].heads[0, :2], plain.pictures[0].heads[0, [0, 3]], atol=1e-6)
    assert np.isnan(found.pictures[0].maps[1]).all()
    assert [mean is None for mean in found.mean_attention] == [False, True, False]
    assert np.isnan(found.change[:, 1:]).all()


def test_the_model_is_read_as_it_stands(tiny, pictures):
    """With a patch applied, later layers look elsewhere."""
    samples = dataset(pictures).samples
    before = where_layers_look(tiny, samples, [0, 2], BATCH)
    s = np.ones((LAYERS, HEADS), np.float32)
    s[0] = 0
    with applied(tiny, s):
        after = where_layers_look(tiny, samples, [0, 2], BATCH)
    np.testing.assert_allclose(after.attention[:, 0], before.attention[:, 0], atol=1e-6)
    assert abs(after.attention[:, 1] - before.attention[:, 1]).max() > 1e-3
    again = where_layers_look(tiny, samples, [0, 2], BATCH)
    np.testing.assert_array_equal(again.attention, before.attention)


def test_grids_that_do_not_fit(tiny, pictures, monkeypatch):
    monkeypatch.setattr(tiny, "grids", lambda picture: (Grid(3, 3, tuple(range(1, 10)), 0, SQUARE),))
    with pytest.raises(ModelError, match="17 tokens, where its grids name 10"):
        where_layers_look(tiny, dataset(pictures).samples, [0], BATCH)


def test_the_demo_in_float32_and_bfloat16():
    samples = open_dataset("demo").samples[:4]
    found = where_layers_look(load_model("demo"), samples, range(6), Batch(32, 4))
    rough = where_layers_look(
        load_model("demo", LoadRequest("demo", dtype="bfloat16")), samples, range(6), Batch(32, 4)
    )
    np.testing.assert_allclose(rough.attention, found.attention, atol=0.02)
    assert np.ptp(found.attention) > 0.05
