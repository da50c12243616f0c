"""Every edit, replayed, against plain hooks on the model's own forward."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from headprune import Comparable, Edit, Generation, Notice, PluginError, Rows
from headprune.edits.edit import Context, scaled, variants_of
from headprune.edits.heads import Ablate
from headprune.hooks.catalogue import catalogue
from headprune.scoring.sweep import SweepPlan, sweep
from headprune.towers.batches import Batch
from headprune.towers.replay import advance, replay
from headprune.types import DecodePoint, Sample
from tests.support import slow

EDITS = ("isolate", "isolate-direct", "ablate", "mean-ablate", "scale")
GENERATION = Generation(max_new_tokens=8)


@pytest.mark.parametrize("point", DecodePoint)
@pytest.mark.parametrize("name", EDITS)
def test_sweep_equals_hooked_forwards(tiny, pictures, name, point):
    edit = catalogue().load("edit", name).configured({})
    samples = [Sample(f"p{index}", (), lambda picture=picture: picture) for index, picture in enumerate(pictures)]
    pixels = tiny.prepare(pictures)
    layers = tuple(range(tiny.geometry.layers))
    said: dict[tuple[str, int, int], str] = {}
    plan = SweepPlan(layers, (), edit, point, GENERATION, Batch(rows=7, pictures=2))
    sweep(tiny, samples, plan, said.update)
    assert len(set(said.values())) > 5, "the tiny model says too little for this to show anything"
    for layer in layers:
        for head in range(tiny.geometry.heads):
            expected = slow.variant(tiny, name, pixels, layer, head, point is DecodePoint.LAST, GENERATION)
            assert [said[sample.id, layer, head] for sample in samples] == expected


def test_all_ones_change_nothing_bit_for_bit(tiny, pictures):
    traced = tiny.trace(tiny.prepare(pictures), range(3), range(4))
    for layer, capture in traced.captures.items():
        rows = scaled(capture, torch.ones(1, tiny.geometry.heads))
        states = replay(tiny.sites[layer], capture, capture.residual, rows)
        assert torch.equal(states, traced.states[layer + 1])
        assert torch.equal(advance(tiny.sites, tiny.reads, states, capture), traced.states[3])


def test_contributions_and_bias_sum_to_the_attention_output(tiny, pictures):
    """Eq. 3-6: sum_h x[h] W[h] + b is what the attention answers, at every token."""
    dh = tiny.geometry.head_width
    for layer, capture in tiny.trace(tiny.prepare(pictures), range(3)).captures.items():
        output = tiny.sites[layer].output
        parts = [
            capture.heads[..., head * dh : (head + 1) * dh] @ output.weight[:, head * dh : (head + 1) * dh].T
            for head in range(tiny.geometry.heads)
        ]
        torch.testing.assert_close(sum(parts) + output.bias, capture.attended[0], atol=1e-5, rtol=1e-5)


def test_variants_in_parts_equal_variants_at_once(tiny, pictures):
    capture = tiny.trace(tiny.prepare(pictures), [1]).captures[1]
    for name in EDITS:
        edit = catalogue().load("edit", name).configured({})
        context = Context(4, capture.heads.mean(dim=0))
        whole = edit.variants(capture, range(4), context)
        parts = [edit.variants(capture, [head], context) for head in range(4)]
        assert torch.equal(whole.heads, torch.cat([part.heads for part in parts]))
        assert torch.equal(whole.residual, torch.cat([part.residual for part in parts]))


class Wrong(Edit):
    comparable = Comparable.ACROSS
    removes = True

    def __init__(self, make):
        super().__init__()
        self.make = make

    def variants(self, capture, heads, context):
        return self.make(Ablate().variants(capture, heads, context))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda rows: rows.heads, "returned Tensor, not headprune.Rows"),
        (lambda rows: Rows(rows.residual, rows.heads[1:]), r"returned heads torch.float32 \[19, 17, 32\] for 4 heads"),
        (lambda rows: Rows(None, rows.heads), "returned residual NoneType for 4 heads of 5 pictures"),
        (lambda rows: Rows(rows.residual.double(), rows.heads), "returned residual torch.float64"),
        (lambda rows: Rows(rows.residual, rows.heads / 0), "returned heads that are not finite"),
        (lambda rows: rows.nothing, "failed at test_heads.py line .*AttributeError"),
    ],
)
def test_rows_that_are_none_are_the_edits_fault(tiny, pictures, make, said):
    capture = tiny.trace(tiny.prepare(pictures), [1]).captures[1]
    with pytest.raises(PluginError, match=f"^edit Wrong {said}") as caught:
        variants_of(Wrong(make), capture, range(4), Context(4))
    assert "mend it there" in caught.value.hint or "test_heads.py line" in caught.value.hint


class Hungry(Ablate):
    """Runs out of memory with more than two heads at once."""

    def variants(self, capture, heads, context):
        if len(heads) > 2:
            torch.empty(1 << 60, dtype=torch.uint8)
        return super().variants(capture, heads, context)


def test_memory_that_runs_out_in_an_edit_is_not_its_fault(tiny, pictures):
    samples = [Sample(f"p{index}", (), lambda picture=picture: picture) for index, picture in enumerate(pictures)]
    said = []
    for edit in (Ablate(), Hungry()):
        said.append({})
        with pytest.warns(Notice, match="out of memory") if said[1:] else nullcontext():
            plan = SweepPlan((1,), (), edit, DecodePoint.LAST, GENERATION, Batch(32, 5))
            sweep(tiny, samples, plan, said[-1].update)
    assert said[0] == said[1]


def test_numbers_whose_sum_overflows_are_finite(tiny, pictures):
    capture = tiny.trace(tiny.prepare(pictures), [1]).captures[1]
    huge = Wrong(lambda rows: Rows(rows.residual, torch.full_like(rows.heads, 3e38)))
    assert torch.isfinite(variants_of(huge, capture, range(4), Context(4)).heads).all()
