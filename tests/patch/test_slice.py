"""Heads that are gone say what silent heads say: sliced = applied = plain hooks, for any ragged pruning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headprune import Adapter, Generation, PatchError, applied, sliced
from headprune.testing.slow import hooked_tower
from tests.support import slow
from tests.support.tiny import HEADS, LAYERS, WIDTH

GENERATION = Generation(max_new_tokens=8)
COEFFICIENTS = [
    [[0, 1, 2.5, 0.3], [1, 1, 1, 1], [0, 0, 0, 0]],
    [[1, 1, 0, 1], [0, 1, 0, 0], [1, 0, 1, 1]],
    [[0, 0, 0, -1.5], [0.5, 2, 0, 1], [1, 1, 1, 0.1]],
]
# What one head takes with it: its rows of q, k and v with their biases, and its columns of the output projection.
HEAD = WIDTH // HEADS
OF_ONE_HEAD = 3 * HEAD * (WIDTH + 1) + WIDTH * HEAD

ROWS = st.one_of(
    st.just([0.0] * HEADS),
    st.just([1.0] * HEADS),
    st.lists(st.sampled_from([0.0, 0.0, 1.0, 0.4, 2.5, -1.0]), min_size=HEADS, max_size=HEADS),
)
RAGGED = st.lists(ROWS, min_size=LAYERS, max_size=LAYERS)


def ragged_prunings(test: Callable[..., None]) -> Callable[..., None]:
    """Run `test` on many prunings of the tiny towers, the extreme ones included."""
    for row in ([0.0] * HEADS, [1.0] * HEADS):
        test = example(rows=[row] * LAYERS)(test)
    test = example(rows=[[0.0] * HEADS, [1.0] * HEADS, [0.0] * HEADS])(test)
    # The fixture is not changed by an example: that is one of the things tested.
    suppressed = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=20, deadline=None, suppress_health_check=suppressed)(given(rows=RAGGED)(test))


def last(adapter: Adapter, pixels: torch.Tensor) -> torch.Tensor:
    return adapter.trace(pixels, depths=[LAYERS]).states[LAYERS]


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=5e-5)


@pytest.mark.parametrize("rows", COEFFICIENTS)
def test_sliced_equals_applied_equals_hooks(tiny, pictures, rows):
    s, pixels = np.array(rows, np.float32), tiny.prepare(pictures)
    made = sliced(tiny, s)
    with hooked_tower(tiny, s):
        states, (said, logits) = last(tiny, pixels), slow.vanilla_answers(tiny, pixels, GENERATION)
    with applied(tiny, s):
        zeroed, (zeroed_said, zeroed_logits) = last(tiny, pixels), slow.vanilla_answers(tiny, pixels, GENERATION)
    found, (found_said, found_logits) = last(made, pixels), slow.vanilla_answers(made, pixels, GENERATION)
    for other in (zeroed, found):
        assert_close(other, states)
    for other in (zeroed_logits, found_logits):
        torch.testing.assert_close(other, logits, atol=1e-3, rtol=1e-4)
    assert found_said == zeroed_said == said
    assert made.decode(found, GENERATION) == said
    plain, plain_logits = slow.vanilla_answers(tiny, pixels, GENERATION)
    assert plain != said and (plain_logits[0] - logits[0]).abs().max() > 0.1


@ragged_prunings
def test_any_pruning_says_what_zeros_say(tiny, pictures, rows):
    s, pixels = np.array(rows, np.float32), tiny.prepare(pictures[:2])
    with applied(tiny, s):
        states, said = last(tiny, pixels), slow.vanilla_captions(tiny, pixels, GENERATION)
    made = sliced(tiny, s)
    assert_close(last(made, pixels), states)
    assert slow.vanilla_captions(made, pixels, GENERATION) == said


@ragged_prunings
def test_any_pruning_has_the_sizes_counted_by_hand(tiny, rows):
    left = [sum(value != 0 for value in row) for row in rows]
    made = sliced(tiny, np.array(rows, np.float32))
    assert tiny.parameter_count() - made.parameter_count() == (LAYERS * HEADS - sum(left)) * OF_ONE_HEAD
    geometry = made.geometry
    assert geometry.heads_in == tuple(left) and geometry.heads == max(left)
    assert geometry.ragged == (tuple(left) if len({*left}) > 1 else ())
    assert (geometry.layers, geometry.width, geometry.cls) == (LAYERS, WIDTH, True)
    assert geometry.head_width == (HEAD if any(left) else 0)
    assert made.tokens == tiny.tokens
    for site, heads in zip(made.sites, left, strict=True):
        (qkv,) = site.qkv
        assert (qkv.in_features, qkv.out_features) == (WIDTH, 3 * heads * HEAD) == tuple(qkv.weight.shape)[::-1]
        assert (site.output.in_features, site.output.out_features) == (heads * HEAD, WIDTH)
        assert tuple(site.output.weight.shape) == (WIDTH, heads * HEAD) and len(site.output.bias) == WIDTH
        assert len(qkv.bias) == 3 * heads * HEAD


def whole_of(adapter: Adapter) -> dict[str, Any]:
    """Everything of a model that slicing it must leave alone."""
    modules = dict(adapter.model.named_modules())
    return {
        "parameters": {name: id(parameter) for name, parameter in adapter.model.named_parameters()},
        "buffers": {name: id(buffer) for name, buffer in adapter.model.named_buffers()},
        "modules": {name: id(module) for name, module in modules.items()},
        "classes": {name: type(module) for name, module in modules.items()},
        "attributes": {name: sorted(vars(module)) for name, module in modules.items()},
        "hooks": {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in modules.items()},
        "configuration": (type(adapter.model.config), adapter.model.config.to_dict()),
        "generation": adapter.model.generation_config.to_dict(),
        "geometry": adapter.geometry,
    }


@ragged_prunings
def test_the_unpruned_model_stays_as_it_is_and_shares_the_rest(tiny, rows):
    values = {name: parameter.detach().clone() for name, parameter in tiny.model.named_parameters()}
    before = whole_of(tiny)
    made = sliced(tiny, np.array(rows, np.float32))
    assert whole_of(tiny) == before
    assert all(torch.equal(parameter, values[name]) for name, parameter in tiny.model.named_parameters())
    theirs = dict(made.model.named_parameters())
    assert theirs.keys() == values.keys()
    changed = {name for name, parameter in tiny.model.named_parameters() if theirs[name] is not parameter}
    expected = set()
    for layer, row in enumerate(rows):
        attention = f"vision_model.encoder.layers.{layer}.self_attn."
        if any(value != 1 for value in row):
            expected.add(attention + "projection.weight")
        if 0 in row:
            expected |= {attention + "qkv.weight", attention + "qkv.bias", attention + "projection.bias"}
    assert changed == expected
    # The output projection's bias is another parameter of the same numbers.
    for name in theirs.keys() - {name for name in changed if not name.endswith("projection.bias")}:
        assert theirs[name].data_ptr() == tiny.model.get_parameter(name).data_ptr()


def test_what_stays_are_the_kept_heads_own_weights(tiny):
    made = sliced(tiny, np.array([[0, 1, 2.5, 0], [1, 1, 1, 1], [0, 0, 0, 0]], np.float32))
    before, after = tiny.sites[0], made.sites[0]
    for part in range(3):
        rows = before.qkv[0].weight.detach()[part * WIDTH : (part + 1) * WIDTH]
        kept = after.qkv[0].weight.detach()[part * 2 * HEAD : (part + 1) * 2 * HEAD]
        assert torch.equal(kept, rows[HEAD : 3 * HEAD])
    columns = before.output.weight.detach()
    assert torch.equal(after.output.weight[:, :HEAD], columns[:, HEAD : 2 * HEAD])
    assert torch.equal(after.output.weight[:, HEAD:], columns[:, 2 * HEAD : 3 * HEAD] * 2.5)


def test_slicing_again_keeps_the_names_of_the_unpruned_models_heads(tiny, pictures):
    pixels = tiny.prepare(pictures)
    once = sliced(tiny, np.array([[0, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 0]], np.float32))
    assert once.model.config.headprune == {"heads": 4, "kept": [[1, 2, 3], [0, 2], [0, 1, 2]]}
    # Columns are now the heads that are left: 1 2 3, 0 2, 0 1 2.
    twice = sliced(once, np.array([[2, 0, 1], [0, 1, 1], [0, 0, 0]], np.float32))
    assert twice.model.config.headprune == {"heads": 4, "kept": [[1, 3], [2], []]}
    assert once.model.config.headprune["kept"] == [[1, 2, 3], [0, 2], [0, 1, 2]]
    straight = sliced(tiny, np.array([[0, 2, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]], np.float32))
    assert twice.geometry == straight.geometry
    assert type(twice.model) is type(straight.model) is type(once.model)
    theirs = dict(straight.model.named_parameters())
    assert all(torch.equal(parameter, theirs[name]) for name, parameter in twice.model.named_parameters())
    said = slow.vanilla_captions(twice, pixels, GENERATION)
    assert said == slow.vanilla_captions(straight, pixels, GENERATION)
    assert said != slow.vanilla_captions(once, pixels, GENERATION)


def test_coefficients_where_no_head_is_play_no_part(tiny, pictures):
    once = sliced(tiny, np.array([[0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]], np.float32))
    s = np.array([[1, 2, 1, 0], [1, 1, 1, 1], [0, 0, 7, 0]], np.float32)
    again = sliced(once, s)
    assert again.geometry.heads_in == (3, 4, 0)
    with applied(once, s):
        states = last(once, once.prepare(pictures))
    assert_close(last(again, once.prepare(pictures)), states)


def test_a_tower_in_bfloat16(tiny, pictures):
    tiny.model.to(torch.bfloat16)
    s, pixels = np.array(COEFFICIENTS[0], np.float32), tiny.prepare(pictures)
    made = sliced(tiny, s)
    assert made.dtype == torch.bfloat16 and {p.dtype for p in made.model.parameters()} == {torch.bfloat16}
    with applied(tiny, s):
        states = last(tiny, pixels).float()
    assert (last(made, pixels).float() - states).abs().max() < 0.05 * states.abs().max()


@pytest.mark.parametrize("bad", [np.ones((2, 4)), np.full((3, 4), np.nan), np.ones((3, 5)), np.ones(12)])
def test_coefficients_that_do_not_fit(tiny, bad):
    before = whole_of(tiny)
    with pytest.raises(PatchError):
        sliced(tiny, bad.astype(np.float32))
    assert whole_of(tiny) == before
