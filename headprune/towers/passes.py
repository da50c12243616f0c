"""Tower passes that show everything a layer did: its capture, what its MLP answered, its attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headprune.errors import ModelError
from headprune.towers.adapter import Adapter, Attention
from headprune.towers.batches import Batch
from headprune.towers.calls import first_tensor
from headprune.towers.capture import Capture, trace
from headprune.towers.layout import Site
from headprune.towers.memory import budget
from headprune.types import Form


@dataclass(frozen=True, slots=True)
class Seen:
    """All that one layer did in one pass over B pictures of one form.

    Attributes:
        capture: what it read, thought and said.
        mlp: [B, T, d], what its MLP answered.
        attention: weights and values of its heads.
    """

    capture: Capture
    mlp: Tensor
    attention: Attention


class Passes:
    """Passes over a tower, each of which keeps as many layers' attention as memory holds.

    Args:
        adapter: the model.
        layers: which are to be seen, 0-based.
        batch: at most how many pictures go through the tower together.

    Attributes:
        pictures: how many go through it together: as many as leave room for all layers, so that one pass does.
    """

    def __init__(self, adapter: Adapter, layers: Sequence[int], batch: Batch) -> None:
        self._adapter = adapter
        self._layers = layers
        self._tokens: dict[Form, int] = {None: adapter.tokens}
        kept, passing = self._bytes(adapter.tokens)
        self.pictures = max(1, min(batch.pictures, budget(adapter.device) // (len(layers) * kept + passing)))

    def seen(self, pixels: Tensor, form: Form, layers: Sequence[int] | None = None) -> Iterator[Seen]:
        """Each of `layers` (all by default) of one pass over `pixels` of one form, or of several where they do not fit
        together."""
        layers = self._layers if layers is None else layers
        if form not in self._tokens:
            self._tokens[form] = self._adapter.trace(pixels[:1], depths=[0], form=form).states[0].shape[1]
        kept, passing = (size * len(pixels) for size in self._bytes(self._tokens[form]))
        size = max(1, (budget(self._adapter.device) - passing) // kept)
        for start in range(0, len(layers), size):
            yield from self._pass(pixels, form, layers[start : start + size])

    def _pass(self, pixels: Tensor, form: Form, layers: Sequence[int]) -> Iterator[Seen]:
        adapter, attended = self._adapter, dict[int, Attention]()

        def run() -> None:
            attended.update(adapter.attention(pixels, layers, form))

        with torch.no_grad(), _hearing([adapter.sites[layer] for layer in layers]) as answers:
            captures = trace(adapter.sites, run, len(pixels), adapter.reads, form, layers).captures
        for layer in layers:
            # Given away, so that a layer's memory is free once it was dealt with.
            capture = captures.pop(layer)
            yield Seen(capture, capture.call.states(answers.pop(layer)), attended.pop(layer))

    def _bytes(self, tokens: int) -> tuple[int, int]:
        """What a layer of one picture leaves behind, and what it takes while it is worked on."""
        geometry = self._adapter.geometry
        weights = 4 * geometry.heads * tokens**2
        states = tokens * geometry.width
        # Residual, head outputs, output, both answers, and q, k and v; scores, masks and weights once more.
        return weights + 8 * states * self._adapter.dtype.itemsize, 4 * weights + 10 * 4 * states


@contextmanager
def _hearing(sites: Sequence[Site]) -> Iterator[dict[int, Tensor]]:
    """Within the context, what the MLP of each layer answers is put into the dict.

    Raises:
        ModelError: one was not called exactly once.
    """
    heard: dict[int, list[Tensor]] = {site.index: [] for site in sites}
    answers: dict[int, Tensor] = {}

    def keep(layer: int) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            heard[layer].append(first_tensor(output))

        return hook

    handles = [site.mlp.register_forward_hook(keep(site.index)) for site in sites]
    try:
        yield answers
    finally:
        for handle in handles:
            handle.remove()
    for layer, all_ in heard.items():
        if len(all_) != 1:
            raise ModelError(
                f"the MLP of layer {layer} was asked {len(all_)} times, not once",
                "this family needs a layout of its own",
            )
        answers[layer] = all_[0]
