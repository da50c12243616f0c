"""What an adapter promises of its tower: what is seen of it is what happens in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headprune.edits.edit import scaled
from headprune.edits.lesions import LESIONS
from headprune.perspectives.dataflow import Parts, data_flow
from headprune.perspectives.lesioner import Lesioner
from headprune.perspectives.means import mean_inputs
from headprune.scoring.statistics import Floats
from headprune.testing import places
from headprune.testing.near import Near, asked, spread
from headprune.testing.slow import first_given
from headprune.testing.slow_flow import SlowFlow
from headprune.towers.adapter import Adapter, Backend
from headprune.towers.batches import Batch, Pictures
from headprune.towers.calls import first_tensor
from headprune.towers.replay import advance, heads_reading, replay
from headprune.types import Sample


class TowerPromises(Near):
    """Part of `AdapterContract`: the tower by itself, before anything is put into words."""

    def test_geometry_and_outline_agree(
        self, source: tuple[Backend, str], adapter: Adapter, groups: Sequence[Pictures]
    ) -> None:
        """The outline, for which no weight is read, tells the size of the very model that is loaded, and states have
        the shape that it tells."""
        backend, name = source
        outline, geometry = backend.outline(asked(name)), adapter.geometry
        assert (outline.geometry, outline.geometry.dead) == (geometry, geometry.dead)
        assert outline.parameters == adapter.parameter_count()
        assert outline.tower_parameters == sum(parameter.numel() for parameter in adapter.tower.parameters())
        assert outline.bytes_per_parameter == adapter.dtype.itemsize
        assert outline.tokens == adapter.tokens
        for group in groups:
            assert len(group.pixels) == len(group.samples)
            rows, tokens, width = adapter.last_states(group.pixels, group.form).shape
            assert (rows, width) == (len(group.samples), len(adapter.reads) * geometry.width)
            # Where pictures have forms, it is the number of another one's.
            assert tokens == adapter.tokens or group.form is not None

    @pytest.mark.parametrize("size", places.SIZES, ids=str)
    def test_grids_name_the_tokens_of_each_place(self, adapter: Adapter, size: tuple[int, int]) -> None:
        """Painting over a part of a picture changes the token that `grids` names for it, and no token of no grid."""
        places.check_grids(adapter, size)

    def test_contributions_and_bias_add_up_to_the_attentions_answer(
        self, adapter: Adapter, groups: Sequence[Pictures]
    ) -> None:
        """At every token the heads' contributions and the bias sum to what the attention answers (Eq. 3-6)."""
        dh = adapter.geometry.head_width
        for group in groups:
            captures = adapter.trace(group.pixels, range(len(adapter.sites)), form=group.form).captures
            for layer, capture in captures.items():
                output = adapter.sites[layer].output
                answer = torch.zeros_like(capture.residual)
                for head in range(adapter.geometry.heads_in[layer]):
                    columns = slice(head * dh, (head + 1) * dh)
                    answer += capture.heads[..., columns] @ output.weight[:, columns].T
                if output.bias is not None:
                    answer += output.bias
                self._assert_near(answer, capture.call.states(first_tensor(capture.attended)))

    def test_attention_weights_are_those_that_made_the_head_outputs(
        self, adapter: Adapter, groups: Sequence[Pictures]
    ) -> None:
        """Each head's output is its weights times its values, values are a projection of what the attention reads, and
        the model goes on attending as before (Eq. 6-7)."""
        layers, dh = range(len(adapter.sites)), adapter.geometry.head_width
        for group in groups:
            captures = adapter.trace(group.pixels, layers, form=group.form).captures
            read = _attentions_read(adapter, group)
            found = adapter.attention(group.pixels, layers, group.form)
            for layer, capture in captures.items():
                weights, values = found[layer].weights, found[layer].values
                rows, tokens, inner = capture.heads.shape
                assert weights.shape == (rows, inner // dh, tokens, tokens)
                # A token of padding takes something, too, and nobody takes from it.
                self._assert_near(weights.sum(-1), torch.ones(weights.shape[:-1]))
                assert weights.min() >= 0 and weights.std() > 1e-4, "each token takes the same of all"
                self._assert_near((weights @ values).transpose(1, 2).flatten(2), capture.heads)
                # The last columns of the last projection, fused or not. The bias, wherever it is kept, is the same for
                # every token.
                made = capture.call.states(read[layer]) @ adapter.sites[layer].qkv[-1].weight[-inner:].T
                bias = values.transpose(1, 2).flatten(2) - made
                self._assert_near(bias, bias[:1, :1].expand_as(bias))
            again = adapter.trace(group.pixels, layers, form=group.form).captures
            assert all(torch.equal(again[layer].heads, captures[layer].heads) for layer in captures)

    def test_the_data_flow_is_exact(
        self, adapter: Adapter, samples: Sequence[Sample], groups: Sequence[Pictures]
    ) -> None:
        """Heads, bias and MLP, each as its slow twin finds it, add up to what a layer writes (Eq. 3-6)."""
        # That sources add up to a head is what attention weights promise.
        layers = spread(len(adapter.sites))
        averaged, read = (data_flow(adapter, samples, layers, Batch(7, 4), token) for token in (None, 1))
        assert max(averaged.error.max(), read.error.max()) < self.tolerance
        assert read.at is not None
        for group in groups:
            rows = [read.samples.index(sample.id) for sample in group.samples]
            for place, layer in enumerate(layers):
                twin = SlowFlow(adapter, group.pixels, group.form, layer)
                self._assert_alike(_flat(read.at.norm, rows, place), twin.norm[:, 1])
                self._assert_alike(_flat(read.at.projection, rows, place), twin.projection[:, 1])
                self._assert_alike(_flat(averaged.mean.projection, rows, place), twin.projection.mean(axis=1))
                self._assert_alike(
                    _flat(averaged.mean.share, rows, place), (twin.projection / twin.update[..., None]).mean(axis=1)
                )
                for kind in ("norm", "projection"):
                    expected = getattr(twin, f"source_{kind}")
                    for found, there in ((read, expected[:, :, 1]), (averaged, expected.mean(axis=2))):
                        self._assert_alike(np.stack([getattr(found.sources[row], kind)[place] for row in rows]), there)

    def test_all_ones_change_nothing(self, adapter: Adapter, groups: Sequence[Pictures]) -> None:
        """A layer that is run again with every head as it was writes what it wrote, and so do the layers behind it."""
        last, heads_in = len(adapter.sites), adapter.geometry.heads_in
        for group in groups:
            traced = adapter.trace(group.pixels, range(last), [last], group.form)
            for layer, capture in traced.captures.items():
                rows = scaled(capture, torch.ones(1, heads_in[layer]))
                states = replay(adapter.sites[layer], capture, capture.residual, rows)
                self._assert_near(states, capture.output)
                self._assert_near(advance(adapter.sites, adapter.reads, states, capture), traced.states[last])

    def test_heads_that_read_another_picture_say_what_they_say_of_it(
        self, adapter: Adapter, groups: Sequence[Pictures]
    ) -> None:
        """Given what a layer reads of another picture, its norm and its heads make of it what they made of it there."""
        group = max(groups, key=lambda group: len(group.samples))
        assert len(group.samples) > 1, "give two `pictures` of one size"
        one, other = (
            adapter.trace(group.pixels[row : row + 1], range(len(adapter.sites)), form=group.form).captures
            for row in (0, 1)
        )
        for layer, site in enumerate(adapter.sites):
            self._assert_near(heads_reading(site, one[layer], other[layer].residual), other[layer].heads)
            assert not torch.allclose(one[layer].heads, other[layer].heads, atol=1e-3), "pictures are all the same"

    def test_lesions_by_the_mean_of_one_picture_are_none_to_it(
        self, adapter: Adapter, groups: Sequence[Pictures]
    ) -> None:
        """The mean over a single picture is that picture: put in place of what layers read, it changes nothing
        (section 4.2), for each layer alone and for all at once."""
        last, live = len(adapter.sites), range(adapter.geometry.live)
        for group in groups:
            means = mean_inputs(adapter, group.samples[:1], live, Batch(8, 2))
            traced = adapter.trace(group.pixels[:1], live, [last], group.form)
            for place in [*((layer,) for layer in live), tuple(live)]:
                for name in LESIONS:
                    found = Lesioner(adapter, means).states(traced, place, [name])
                    self._assert_near(found, traced.states[last])


def _attentions_read(adapter: Adapter, group: Pictures) -> dict[int, Tensor]:
    """layer -> what its attention is given, as the tower lays it out."""
    read: dict[int, Tensor] = {}

    def keep(layer: int) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            read[layer] = first_given(args, kwargs)

        return hook

    handles = [site.attention.register_forward_pre_hook(keep(site.index), with_kwargs=True) for site in adapter.sites]
    try:
        adapter.last_states(group.pixels, group.form)
    finally:
        for handle in handles:
            handle.remove()
    return read


def _flat(parts: Parts, rows: Sequence[int], layer: int) -> Floats:
    """[B, H + 2]: the heads, the bias and the MLP."""
    flat: Floats = np.concatenate([parts.heads, parts.bias[..., None], parts.mlp[..., None]], axis=-1)[rows, layer]
    return flat
