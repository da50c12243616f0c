"""Calling a layer again, on more rows than it was called with, however its tower lays rows out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headprune import ModelError
from headprune.towers.calls import call_of


class Layer(nn.Module):
    """Notes what it is given, and says something of it."""

    def forward(self, hidden_states, mask=None, *, places=None, borders=None, name="", **kwargs):
        self.seen = {"states": hidden_states, "mask": mask, "places": places, "borders": borders, "rest": kwargs}
        return hidden_states * 2, None


def called(layer, pictures, *args, **kwargs):
    call, given = call_of(layer, pictures, args, kwargs)
    layer(*args, **kwargs)
    return call, given


def test_a_row_a_picture_with_a_mask_a_row():
    layer, states, mask = Layer(), torch.randn(2, 5, 8), torch.ones(2, 1, 1, 5)
    call, given = called(layer, 2, states, mask, name="x", other=7)
    assert given is states and torch.equal(call.states(given), states)
    rows = torch.randn(6, 5, 8)
    assert torch.equal(call.rerun(layer, rows), rows * 2)
    assert layer.seen["mask"].shape == (6, 1, 1, 5) and layer.seen["rest"] == {"other": 7}


def test_what_holds_for_all_rows_is_passed_on():
    layer, bias = Layer(), torch.randn(1, 2, 5, 5)
    call, _ = called(layer, 3, torch.randn(3, 5, 8), mask=bias)
    call.rerun(layer, torch.randn(4, 5, 8))
    assert layer.seen["mask"] is bias


def test_tiles_of_a_picture_are_its_tokens():
    """Two pictures of three tiles of five tokens."""
    layer, states = Layer(), torch.randn(6, 5, 8)
    call, given = called(layer, 2, hidden_states=states)
    assert call.states(given).shape == (2, 15, 8)
    rows = torch.randn(4, 15, 8)
    assert torch.equal(call.rerun(layer, rows), rows * 2)
    assert torch.equal(layer.seen["states"], rows.reshape(12, 5, 8))


def test_packed_tokens_with_their_places_and_borders():
    """Two pictures of six tokens, one behind the other, in windows of four and two."""
    layer, states = Layer(), torch.randn(12, 8)
    places = torch.arange(6.0)[:, None].repeat(2, 3)
    borders = torch.tensor([0, 4, 6, 10, 12], dtype=torch.int32)
    call, given = called(layer, 2, states, places=(places, places + 1), borders=borders)
    assert torch.equal(call.states(given), states.view(2, 6, 8))
    rows = torch.randn(3, 6, 8)
    assert torch.equal(call.rerun(layer, rows), rows * 2)
    assert torch.equal(layer.seen["states"], rows.reshape(18, 8))
    assert isinstance(layer.seen["places"], tuple)
    assert torch.equal(layer.seen["places"][1], torch.arange(6.0)[:, None].repeat(3, 3) + 1)
    assert torch.equal(layer.seen["borders"], torch.tensor([0, 4, 6, 10, 12, 16, 18], dtype=torch.int32))
    assert layer.seen["borders"].dtype == torch.int32


@pytest.mark.parametrize(
    ("states", "passed", "message"),
    [
        ((2, 5, 8), {"mask": torch.ones(3, 5)}, r"mask \[3, 5\] beside 2 rows"),
        ((2, 5, 8), {"mask": torch.tensor([[1.0] * 5, [0.0] * 5])}, "mask differs between pictures of one form"),
        ((12, 8), {"places": torch.arange(12.0)[:, None]}, "places differs"),
        ((12, 8), {"borders": torch.tensor([0, 4, 6, 8, 12])}, "borders differs"),
    ],
)
def test_what_cannot_be_repeated_is_an_error(states, passed, message):
    layer = Layer()
    call, given = called(layer, 2, torch.randn(states), **passed)
    with pytest.raises(ModelError, match=message):
        call.rerun(layer, call.states(given))


@pytest.mark.parametrize("states", [(5, 8), (3, 5, 8), (2, 3, 4, 5)])
def test_states_of_another_shape_are_an_error(states):
    with pytest.raises(ModelError, match="for 2 pictures"):
        call_of(Layer(), 2, (torch.randn(states),), {})


def test_a_forward_on_the_instance_does_not_hide_the_names():
    """As accelerate puts one."""
    layer, mask = Layer(), torch.ones(2, 5)
    layer.forward = lambda *args, **kwargs: Layer.forward(layer, *args, **kwargs)
    call, _ = called(layer, 2, torch.randn(2, 5, 8), mask)
    call.rerun(layer, torch.randn(4, 5, 8))
    assert layer.seen["mask"].shape == (4, 5)
