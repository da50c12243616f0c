"""A tower pass with lesions: what is read of the tower when layers of it have them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from headprune.edits.lesions import LESIONS, Input
from headprune.perspectives.means import InputMeans
from headprune.towers.adapter import Adapter
from headprune.towers.capture import Capture, Trace
from headprune.towers.replay import advance, heads_reading, replay
from headprune.types import Form


class Lesioner:
    """Lesions layers of a traced tower. What a layer says of its mean input is kept while pictures of one form come.

    Args:
        adapter: the model.
        means: of the inputs of all layers that are to be lesioned.
    """

    def __init__(self, adapter: Adapter, means: InputMeans) -> None:
        self._adapter = adapter
        self._means = means
        self._form: Form = None
        self._heads: dict[int, Tensor] = {}

    def states(self, traced: Trace, place: Sequence[int], lesions: Sequence[str]) -> Tensor:
        """What is read of the tower at its end, [V*B, T, n*d], lesion-major.

        Args:
            traced: a pass with the layers of `place` captured.
            place: layers, 0-based and sorted, that are lesioned at once: each on the stream that those before it made.
            lesions: V names, of as many lesions that know nothing of one another.

        Raises:
            UsageError: means of token positions do not fit pictures of this form.
        """
        first = traced.captures[place[0]]
        states = self._lesioned(first, [Input(first.residual, lambda: first.heads)] * len(lesions), lesions)
        later = {layer: partial(self._lesioned_again, traced.captures[layer], lesions) for layer in place[1:]}
        return advance(self._adapter.sites, self._adapter.reads, states, first, later)

    def _lesioned_again(self, capture: Capture, lesions: Sequence[str], states: Tensor) -> Tensor:
        """The layer's output for a stream [V*B, T, d] that is no longer the captured one."""
        read = partial(heads_reading, self._adapter.sites[capture.layer], capture)
        real = [Input(part, partial(read, part)) for part in states.chunk(len(lesions))]
        return self._lesioned(capture, real, lesions)

    def _lesioned(self, capture: Capture, real: Sequence[Input], lesions: Sequence[str]) -> Tensor:
        mean = self._mean(capture)
        rows = [LESIONS[name](given, mean) for name, given in zip(lesions, real, strict=True)]
        residual, heads = torch.cat([row.residual for row in rows]), torch.cat([row.heads for row in rows])
        return replay(self._adapter.sites[capture.layer], capture, residual, heads)

    def _mean(self, capture: Capture) -> Input:
        """The mean input of the captured layer, [1, T, d], as of one picture of the captured form."""
        if capture.form != self._form:
            self._form = capture.form
            self._heads.clear()
        states = self._means.like(capture.layer, capture.residual, capture.form)
        return Input(states, partial(self._said_of_mean, capture, states))

    def _said_of_mean(self, capture: Capture, states: Tensor) -> Tensor:
        if capture.layer not in self._heads:
            self._heads[capture.layer] = heads_reading(self._adapter.sites[capture.layer], capture, states)
        return self._heads[capture.layer]
