"""The geometry of a tower, read off its modules, and modules that are no tower."""

from __future__ import annotations

import pytest
from torch import nn

from headprune import Geometry, ModelError, TowerLayout, find_sites, measure

pytestmark = pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
LAYOUT = TowerLayout("tower", "layers", "attention", ("qkv",), "out", "heads", cls=False)


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
