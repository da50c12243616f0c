"""What an edit is told beside each captured layer: as much as it asks for, and no more is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from headprune.edits.edit import NEEDS, Context, Edit
from headprune.errors import ModelError, UsageError
from headprune.hooks.checks import check_needs
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, Pictures, prepared, traces
from headprune.towers.capture import Capture, Trace
from headprune.towers.memory import Room
from headprune.towers.passes import Passes
from headprune.types import Sample


class Contexts:
    """Captured layers, each with what an edit needs to know of it.

    Args:
        adapter: the model, as it is edited.
        samples: all that are scored: means are taken over them, donors are among them.
        layers: which are edited, 0-based.
        edit: says what it needs.
        batch: how much is done at once.

    Attributes:
        adapter: the model.
        batch: the same, of fewer pictures where a picture leaves more behind than a capture.
        capture: the layers that a pass has to capture for `of`; none where `of` makes passes of its own.

    Raises:
        PluginError: the edit needs what there is not. UsageError: it needs another sample, and there is none.
        ModelError: it needs means, and pictures are of several forms.
    """

    def __init__(
        self, adapter: Adapter, samples: Sequence[Sample], layers: Sequence[int], edit: Edit, batch: Batch
    ) -> None:
        needs = edit.needs if layers else frozenset()
        _check(edit, samples)
        self.adapter = adapter
        self._layers = layers
        self._means = mean_head_outputs(adapter, samples, layers, batch) if "means" in needs else {}
        self._donor_of = _following(samples) if "donors" in needs else {}
        self._passes = Passes(adapter, layers, batch) if "attention" in needs else None
        self.batch = replace(batch, pictures=self._passes.pictures) if self._passes else batch
        self.capture = () if self._passes else tuple(layers)
        self._room = Room(self.batch.pictures, "pictures")

    def of(
        self, pictures: Pictures, traced: Trace, layers: Sequence[int] | None = None
    ) -> Iterator[tuple[Capture, Context]]:
        """Each of `layers` (all by default) as captured of `pictures`, with its context.

        Args:
            traced: of these pictures, with captures of those `layers` that are in `capture`.
        """
        layers = self._layers if layers is None else layers
        donors = self._donors(pictures, layers) if self._donor_of else {}
        heads_in = self.adapter.geometry.heads_in
        if self._passes is None:
            for layer in layers:
                yield traced.captures[layer], Context(heads_in[layer], self._means.get(layer), donors.get(layer))
            return
        for seen in self._passes.seen(pictures.pixels, pictures.form, layers):
            layer = seen.capture.layer
            yield (
                seen.capture,
                Context(heads_in[layer], self._means.get(layer), donors.get(layer), seen.attention),
            )

    def _donors(self, pictures: Pictures, layers: Sequence[int]) -> Mapping[int, Tensor]:
        """layer -> [B, T, H*dh], what its heads say of each picture's donor."""
        adapter = self.adapter
        groups = prepared(adapter, [self._donor_of[sample.id] for sample in pictures.samples])
        if len(groups) > 1 or groups[0].form != pictures.form:
            raise _of_one_size("another picture's in place of their own")
        pixels = groups[0].pixels

        def heads_of(start: int, stop: int) -> dict[int, Tensor]:
            captures = adapter.trace(pixels[start:stop], layers, form=pictures.form).captures
            return {layer: capture.heads for layer, capture in captures.items()}

        pieces = [piece for _, _, piece in self._room.pieces(len(pixels), heads_of)]
        return {layer: torch.cat([piece[layer] for piece in pieces]) for layer in layers}


def pictures_of(adapter: Adapter, layers: Sequence[int], edit: Edit, batch: Batch) -> int:
    """How many pictures `Contexts` takes together."""
    return Passes(adapter, layers, batch).pictures if layers and "attention" in edit.needs else batch.pictures


def mean_head_outputs(
    adapter: Adapter, samples: Sequence[Sample], layers: Sequence[int], batch: Batch
) -> dict[int, Tensor]:
    """layer -> [T, H*dh]: head outputs averaged over the samples, per token position; summed in float64, one pass."""
    sums: dict[int, Tensor] = {}
    for _, traced in traces(adapter, samples, batch, layers):
        for layer, capture in traced.captures.items():
            if layer in sums and sums[layer].shape != capture.heads.shape[1:]:
                raise _of_one_size("a mean, token by token,")
            # Summed on the CPU: not every device has float64.
            total = capture.heads.cpu().to(torch.float64).sum(dim=0)
            sums[layer] = sums[layer] + total if layer in sums else total
    return {layer: total / len(samples) for layer, total in sums.items()}


def _following(samples: Sequence[Sample]) -> dict[str, Sample]:
    """Each sample's donor: the one drawn after it, the first after the last."""
    return {sample.id: donor for sample, donor in zip(samples, [*samples[1:], *samples[:1]], strict=True)}


def _check(edit: Edit, samples: Sequence[Sample]) -> None:
    name = f"edit {type(edit).__name__}"
    check_needs(edit, name, NEEDS)
    if "donors" in edit.needs and len(samples) < 2:
        raise UsageError(f"{name} takes what heads say of another sample, and there is one only", "--samples 2 or more")


def _of_one_size(what: str) -> ModelError:
    return ModelError(
        f"heads say {what} over pictures of one size only",
        "make all pictures the same size, or use --edit ablate",
    )
