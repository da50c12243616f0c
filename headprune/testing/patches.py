"""What an adapter promises of changed heads: in memory and in folders, they say what hooks make them say."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
import torch

from headprune.errors import ModelError
from headprune.patch.apply import applied
from headprune.patch.slice import sliced
from headprune.testing.near import Near, asked, some_heads, spread
from headprune.testing.slow import hooked, hooked_tower
from headprune.testing.words import Speak
from headprune.towers.adapter import Adapter, Backend
from headprune.towers.batches import Pictures
from headprune.types import Generation


class PatchPromises(Near):
    """Part of `AdapterContract`: coefficients on heads, and folders to keep them in."""

    def test_an_edit_has_an_effect_where_the_model_reads_it_and_only_there(
        self, adapter: Adapter, groups: Sequence[Pictures]
    ) -> None:
        """A silent head changes what is read of the tower, unless its layer is one that the geometry calls dead."""
        group, geometry = groups[0], adapter.geometry
        plain = adapter.last_states(group.pixels, group.form)
        for layer in spread(geometry.layers):
            for head in spread(geometry.heads_in[layer]):
                s = torch.ones(geometry.heads_in[layer])
                s[head] = 0
                with hooked(adapter, layer, s):
                    changed = not torch.equal(adapter.last_states(group.pixels, group.form), plain)
                assert changed == (layer < geometry.live), f"layer {layer}, head {head}"

    def test_applied_equals_hooks_and_goes_away(
        self, adapter: Adapter, groups: Sequence[Pictures], generation: Generation, speak: Speak
    ) -> None:
        """Coefficients put on the model do what hooks do; afterwards every tensor of it is as before, bit for bit."""
        s = some_heads(adapter.geometry)
        before = {name: tensor.clone() for name, tensor in adapter.model.state_dict().items()}
        for group in groups:
            plain = adapter.last_states(group.pixels, group.form)
            with hooked_tower(adapter, s):
                states = adapter.last_states(group.pixels, group.form)
                said, _ = speak(adapter, group.opened, generation)
            with applied(adapter, s):
                self._assert_near(adapter.last_states(group.pixels, group.form), states, times=5)
                assert speak(adapter, group.opened, generation)[0] == said
            assert not torch.allclose(states, plain, atol=1e-3)
            assert torch.equal(adapter.last_states(group.pixels, group.form), plain)
        after = adapter.model.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())

    def test_what_is_saved_loads_as_the_same_model(
        self, source: tuple[Backend, str], adapter: Adapter, groups: Sequence[Pictures], tmp_path: Path
    ) -> None:
        """The folder that `save` writes holds every weight, bit for bit, and all that prepares pictures; and `loading`
        is Python that names it."""
        again = _saved(source, adapter, tmp_path)
        assert again.geometry == adapter.geometry and again.tokens == adapter.tokens
        before, after = (dict(one.model.named_parameters()) for one in (adapter, again))
        assert before.keys() == after.keys()
        assert all(torch.equal(parameter, after[name]) for name, parameter in before.items())
        for group in groups:
            assert torch.equal(again.prepare(group.opened), group.pixels)
        names = {node.id for node in ast.walk(ast.parse(again.loading())) if isinstance(node, ast.Name)}
        assert "FOLDER" in names

    def test_folded_equals_hooks(
        self,
        source: tuple[Backend, str],
        adapter: Adapter,
        groups: Sequence[Pictures],
        generation: Generation,
        speak: Speak,
        tmp_path: Path,
    ) -> None:
        """A model that is saved with coefficients on it, and loaded again, says what hooks make it say."""
        s = some_heads(adapter.geometry)
        with applied(adapter, s):
            again = _saved(source, adapter, tmp_path)
        assert again.parameter_count() == adapter.parameter_count()
        for group in groups:
            with hooked_tower(adapter, s):
                states = adapter.last_states(group.pixels, group.form)
                said, _ = speak(adapter, group.opened, generation)
            self._assert_near(again.last_states(group.pixels, group.form), states, times=5)
            assert speak(again, group.opened, generation)[0] == said

    def test_sliced_equals_hooks(
        self,
        source: tuple[Backend, str],
        adapter: Adapter,
        groups: Sequence[Pictures],
        generation: Generation,
        speak: Speak,
        slices: Literal[True] | str,
        tmp_path: Path,
    ) -> None:
        """A model whose silent heads are taken out is smaller, and, saved and loaded again, says what hooks make it
        say; or it is refused for the reason that `slices` states."""
        s = some_heads(adapter.geometry)
        if slices is not True:
            with pytest.raises(ModelError, match=slices):
                sliced(adapter, s)
            return
        again = _saved(source, sliced(adapter, s), tmp_path)
        kept = tuple((s != 0).sum(axis=1).tolist())
        assert again.geometry.heads_in == kept
        assert [site.output.in_features for site in again.sites] == [
            heads * adapter.geometry.head_width for heads in kept
        ]
        assert again.parameter_count() < adapter.parameter_count()
        for group in groups:
            with hooked_tower(adapter, s):
                states = adapter.last_states(group.pixels, group.form)
                said, _ = speak(adapter, group.opened, generation)
            self._assert_near(again.last_states(group.pixels, group.form), states, times=5)
            assert speak(again, group.opened, generation)[0] == said

    def test_sliced_in_memory_the_heads_that_are_left_attend_as_before(
        self, adapter: Adapter, groups: Sequence[Pictures], slices: Literal[True] | str
    ) -> None:
        """Taking heads out leaves the adapter it is done to as it was, and the other heads' attention as it was."""
        if slices is not True:
            with pytest.raises(ModelError, match=slices):
                adapter.without_heads([[] for _ in adapter.sites])
            return
        group, layers, s = groups[0], range(len(adapter.sites)), some_heads(adapter.geometry)
        plain = adapter.last_states(group.pixels, group.form)
        made = sliced(adapter, s)
        found, before = (one.attention(group.pixels, layers, group.form) for one in (made, adapter))
        for layer, heads in enumerate(made.geometry.heads_in):
            for kind in ("weights", "values"):
                left, whole = (getattr(attention[layer], kind) for attention in (found, before))
                assert left.shape == (len(whole), heads, *whole.shape[2:])
                # Only the first layer reads what it read before.
                if not layer:
                    self._assert_near(left, whole[:, torch.from_numpy(s[0] != 0)], times=5)
        assert torch.equal(adapter.last_states(group.pixels, group.form), plain)


def _saved(source: tuple[Backend, str], adapter: Adapter, place: Path) -> Adapter:
    """The model as its folder holds it."""
    folder = place / "saved"
    folder.mkdir()
    adapter.save(folder)
    return source[0].load(asked(str(folder)))
