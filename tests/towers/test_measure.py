"""The geometry of a tower, read off its modules, and modules that are no tower."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from headprune import Geometry, ModelError, TowerLayout, find_sites, measure

pytestmark = pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
LAYOUT = TowerLayout("tower", "layers", "attention", ("qkv",), "out", "heads", "mlp", cls=False)


class Attention(nn.Module):
    def __init__(self, heads, inner, width):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * inner)
        self.out = nn.Linear(inner, width)


def measured(*layers: tuple[int, int, int]) -> Geometry:
    """Of a tower with layers of (heads, head outputs, width)."""
    model = nn.Module()
    model.tower = nn.Module()
    model.tower.layers = nn.ModuleList()
    for layer in layers:
        block = nn.Module()
        block.attention = Attention(*layer)
        block.mlp = nn.Linear(layer[2], layer[2])
        model.tower.layers.append(block)
    return measure(find_sites(model, LAYOUT), LAYOUT)


def test_towers():
    assert measured((4, 32, 32), (4, 32, 32)) == Geometry(2, 4, 32, 8, False)
    assert measured((4, 32, 32), (1, 8, 32), (0, 0, 32)) == Geometry(3, 4, 32, 8, False, (4, 1, 0))
    assert measured((3, 24, 32), (3, 24, 32)) == Geometry(2, 3, 32, 8, False)
    assert measured((0, 0, 32), (0, 0, 32)) == Geometry(2, 0, 32, 0, False)
    assert measured((2, 16, 32), (0, 0, 32)).heads_in == (2, 0)
    assert str(measured((2, 16, 32), (0, 0, 32))) == "2 layers x 0 to 2 heads of 8, width 32"


@pytest.mark.parametrize(
    "layers",
    [
        [(4, 32, 32), (4, 32, 40)],
        [(4, 32, 32), (3, 32, 32)],
        [(4, 32, 32), (4, 24, 32)],
        [(3, 32, 32)],
        [(4, 32, 32), (0, 8, 32)],
        [(0, 32, 32)],
        [(4, 0, 32), (4, 32, 32)],
    ],
)
def test_modules_that_are_no_tower(layers):
    with pytest.raises(ModelError, match="heads have"):
        measured(*layers)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = Attention(2, 8, 8)
        self.mlp = nn.Linear(8, 8)
        self.gamma = nn.Parameter(torch.full((8,), 0.5))
        self.scale = nn.Module()
        self.scale.by = nn.Parameter(torch.tensor(2.0))


def test_layer_scales_are_parameters_or_modules_that_hold_one():
    model = nn.Module()
    model.tower = nn.Module()
    model.tower.layers = nn.ModuleList([Scaled()])
    (site,) = find_sites(model, replace(LAYOUT, scales=("gamma", "scale")))
    assert site.mlp is model.tower.layers[0].mlp
    assert [scale.tolist() for scale in site.scales] == [[0.5] * 8, 2.0]
    model.tower.layers[0].gamma = nn.Parameter(torch.ones(8))
    assert site.scales[0].sum() == 8, "a weight that was put in place of the first is the one that counts"
    assert find_sites(model, LAYOUT)[0].scales == ()
    for layout, words in (
        (replace(LAYOUT, mlp="feed"), "no part 'feed'"),
        (replace(LAYOUT, scales=("gamma", "scale.to")), "no part 'scale.to'"),
        (replace(LAYOUT, scales=("gamma", "mlp")), "holds 2 parameters"),
    ):
        with pytest.raises(ModelError, match=words):
            find_sites(model, layout)
