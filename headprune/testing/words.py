"""What an adapter promises of captions: they are the model's own, wherever its tower stops, whatever its heads say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from headprune.edits.edit import Edit
from headprune.edits.heads import Ablate, Isolate, Scale
from headprune.errors import NumberError
from headprune.hooks.kinds import Scorer
from headprune.patch.apply import applied
from headprune.scoring.algorithm import score_heads
from headprune.scoring.gradients import head_gradients
from headprune.scoring.sampling import draw
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.sweep import SweepPlan, sweep
from headprune.scoring.worker import LocalEngine
from headprune.testing.near import Near, spread
from headprune.testing.slow import hooked, stopped_after
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, Pictures, choose_batch
from headprune.types import Dataset, DecodePoint, Generation, Sample, ScoreItem

Speak = Callable[[Adapter, Sequence[Image], Generation], tuple[list[str], Tensor | None]]
"""(adapter, pictures, generation) -> what its model says of them; and the next-token logits [steps, B, V] that it took
its words from, where they are known."""

_EDITS: dict[str, tuple[Edit, Callable[[Tensor], Tensor]]] = {
    "isolate": (Isolate(), lambda one_hot: one_hot),
    "ablate": (Ablate(), lambda one_hot: 1 - one_hot),
    "scale": (Scale(), lambda one_hot: 1 - 0.5 * one_hot),
}
"""name -> the edit, and the coefficients that it stands for, of a head's one-hot vector [H]."""

_TOO_LITTLE = (
    "captions change too little for this to show anything: give other `pictures`, or a model with other weights"
)


class WordPromises(Near):
    """Part of `AdapterContract`: from the tower's states to captions, and how likely they are."""

    def test_every_layer_says_what_a_model_without_the_later_ones_says(
        self, adapter: Adapter, groups: Sequence[Pictures], generation: Generation, speak: Speak
    ) -> None:
        """The states of every depth are put into words as the model itself does whose later layers do nothing; those of
        the last as the whole model does (Eq. 9)."""
        last, heard = len(adapter.sites), set[str]()
        for group in groups:
            states = adapter.trace(group.pixels, depths=range(1, last + 1), form=group.form).states
            for layer in range(last):
                with stopped_after(adapter, layer):
                    expected, _ = speak(adapter, group.opened, generation)
                assert adapter.decode(states[layer + 1], generation, group.form) == expected
                heard.update(expected)
        assert len(heard) > 1, _TOO_LITTLE

    def test_batched_equals_one_by_one(
        self, adapter: Adapter, groups: Sequence[Pictures], generation: Generation
    ) -> None:
        """A picture's pixels, states and caption do not depend on the pictures beside it."""
        for group in groups:
            states = adapter.last_states(group.pixels, group.form)
            said = adapter.decode(states, generation, group.form)
            assert len(said) == len(group.samples)
            for row, picture in enumerate(group.opened):
                alone = slice(row, row + 1)
                assert torch.equal(adapter.prepare([picture]), group.pixels[alone])
                self._assert_near(adapter.last_states(group.pixels[alone], group.form), states[alone])
                assert adapter.decode(states[alone], generation, group.form) == said[alone]

    def test_what_is_no_number_is_not_put_into_words(
        self, adapter: Adapter, groups: Sequence[Pictures], generation: Generation
    ) -> None:
        """States of which the language model makes NaN are refused, and the row is named; the others have words."""
        for group in groups:
            states = adapter.last_states(group.pixels, group.form)
            row = len(states) - 1
            poisoned = states.clone()
            poisoned[row] = torch.nan
            with pytest.raises(NumberError) as refused:
                adapter.decode(poisoned, generation, group.form)
            assert refused.value.row == row
            assert len(adapter.decode(states, generation, group.form)) == len(states)

    @pytest.mark.parametrize("point", DecodePoint)
    @pytest.mark.parametrize("edit", _EDITS)
    def test_replay_equals_hooks(
        self,
        adapter: Adapter,
        samples: Sequence[Sample],
        generation: Generation,
        speak: Speak,
        edit: str,
        point: DecodePoint,
    ) -> None:
        """An edited head, run again from what was captured, says what hooks on the whole model make it say."""
        geometry = adapter.geometry
        layers = spread(geometry.live)
        fast, coefficients = _EDITS[edit]
        said: dict[tuple[str, int, int], str] = {}
        plan = SweepPlan(tuple(layers), (), fast, point, generation, Batch(rows=7, pictures=4))
        sweep(adapter, samples, plan, said.update)
        for layer in layers:
            stop = geometry.layers - 1 if point is DecodePoint.LAST else layer
            for head in spread(geometry.heads_in[layer]):
                s = coefficients(_one_hot(head, geometry.heads_in[layer]))
                with hooked(adapter, layer, s), stopped_after(adapter, stop):
                    expected, _ = speak(adapter, _pictures(samples), generation)
                assert [said[sample.id, layer, head] for sample in samples] == expected, f"layer {layer}, head {head}"
        assert len({*said.values()}) > 1, _TOO_LITTLE

    def test_scores_are_those_of_one_hooked_pass_a_head(
        self, adapter: Adapter, samples: Sequence[Sample], generation: Generation, speak: Speak
    ) -> None:
        """Algorithm 1, in the batches that it chooses by itself, finds the importances that its slow twin finds."""
        geometry = adapter.geometry
        layers = spread(geometry.live)
        dataset = Dataset("contract", tuple(samples), labels=generation.labels)
        drawn = draw(dataset, min(3, len(samples)), seed=0)
        batch = choose_batch(geometry, adapter.tokens, adapter.dtype.itemsize, None, adapter.device)
        settings = ScoreSettings(
            tuple(layers),
            Ablate(),
            "ablate",
            SharedWords(),
            "shared-words",
            batch,
            decode_at=DecodePoint.LAST,
            generation=generation,
        )
        importance = score_heads(LocalEngine(adapter), dataset, drawn, settings).patch.importance
        assert np.isfinite(importance).any(axis=1).nonzero()[0].tolist() == layers
        pictures = _pictures(drawn.samples)
        before, _ = speak(adapter, pictures, generation)
        for layer in layers:
            for head in spread(geometry.heads_in[layer]):
                with hooked(adapter, layer, 1 - _one_hot(head, geometry.heads_in[layer])):
                    said, _ = speak(adapter, pictures, generation)
                shared = SharedWords().score([ScoreItem(*pair) for pair in zip(said, before, strict=True)])
                expected = 1 - sum(shared) / len(shared)
                assert importance[layer, head] == pytest.approx(expected, abs=1e-6), f"layer {layer}, head {head}"
        assert np.nanmax(importance) > np.nanmin(importance), _TOO_LITTLE

    def test_teacher_forcing_agrees_with_generation(
        self, adapter: Adapter, groups: Sequence[Pictures], generation: Generation, speak: Speak
    ) -> None:
        """Each token of a caption is as likely as it was to the model that generated it; where that is not known, the
        likeliest, as far as a caption tells its tokens."""
        known = captions = 0
        for group in groups:
            said, logits = speak(adapter, group.opened, generation)
            forced = adapter.likelihood(adapter.last_states(group.pixels, group.form), said, generation, group.form)
            steps, words = adapter.distributions(generation)
            assert forced.log_probs.shape == (*forced.tokens.shape, words) and forced.tokens.shape[1] <= steps
            assert forced.mask.any(dim=1).all()
            self._assert_near(forced.log_probs.exp().sum(-1), torch.ones(forced.tokens.shape), times=10)
            captions += len(said)
            for row in range(len(said)):
                for step in range(int(forced.mask[row].sum())):
                    log_probs = forced.log_probs[row, step]
                    likeliest = bool(forced.tokens[row, step] == log_probs.argmax())
                    if logits is not None and step < len(logits):
                        self._assert_near(log_probs, logits[step, row].float().log_softmax(-1), times=100)
                        known += 1
                    else:
                        known += likeliest
                    # Where a token left no trace in the caption, the rest is another text than was generated.
                    if not likeliest:
                        break
        # By chance next to no token of a vocabulary is the likeliest.
        assert known >= captions, f"{known} tokens of {captions} greedy captions are as likely as they ought to be"

    def test_derivatives_are_the_losses_slopes(
        self, adapter: Adapter, groups: Sequence[Pictures], generation: Generation
    ) -> None:
        """The loss's derivative by a head's coefficient is its slope between two coefficients close by, where it is
        smooth."""
        group, geometry = groups[0], adapter.geometry
        said = adapter.decode(adapter.last_states(group.pixels, group.form), generation, group.form)
        found = head_gradients(adapter, group.pixels, said, generation, group.form)
        assert found.shape == (len(said), geometry.layers, geometry.heads)
        layer, head = divmod(int(found.abs().sum(dim=0).argmax()), geometry.heads)

        def loss(step: float) -> Tensor:
            s = np.ones((geometry.layers, geometry.heads), np.float32)
            s[layer, head] += step
            with applied(adapter, s), torch.no_grad():
                states = adapter.last_states(group.pixels, group.form)
                forced = adapter.likelihood(states, said, generation, group.form)
            return -forced.chosen.sum(-1) / forced.mask.sum(-1)

        step, here = 1e-3, loss(0)
        right, left = (loss(step) - here) / step, (here - loss(-step)) / step
        # Where a model is not smooth, as with ReLUs, a kink may lie that close: the two sides then differ.
        smooth = torch.isclose(right, left, atol=2e-2, rtol=5e-2)
        slope = (right + left) / 2
        assert 2 * smooth.sum() >= len(said), "the loss has a kink too often for this to show anything"
        assert slope.abs().max() > 0.02, "no head matters enough for this to show anything: give other `pictures`"
        torch.testing.assert_close(found[smooth, layer, head], slope[smooth], atol=1e-2, rtol=5e-2)


class SharedWords(Scorer):
    """Words that two captions share, of all their words: 1 for equal ones, 1 for two empty ones."""

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        pairs = [({*item.caption.split()}, {*item.reference.split()}) for item in batch]
        return [len(one & other) / len(one | other) if one | other else 1.0 for one, other in pairs]


def _one_hot(head: int, heads: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(head), heads).float()


def _pictures(samples: Sequence[Sample]) -> list[Image]:
    return [sample.load() for sample in samples]
