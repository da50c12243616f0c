"""The sweep: every head's variant of every layer, in words, in as few passes as there are pictures.

A layer is captured once; its variants share that capture and run the layer's remainder together, and the captions of
many layers, heads and pictures are generated in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headprune.edits.edit import Context, Edit
from headprune.errors import ModelError
from headprune.towers.adapter import Adapter
from headprune.towers.batches import UNCHANGED, Batch, DecodeQueue, Decoder, Key, replayed_rows, traces
from headprune.towers.capture import Capture
from headprune.towers.memory import Room
from headprune.towers.replay import advance, replay, stopped
from headprune.types import DecodePoint, Generation, Sample

Captions = dict[Key, str]


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep does: an edit on each head of `layers`, decoded at `decode_at`, beside the unchanged captions."""

    layers: tuple[int, ...]
    references: tuple[int, ...]
    edit: Edit
    decode_at: DecodePoint
    generation: Generation
    batch: Batch

    def keys(self, sample: str, heads_in: Sequence[int]) -> list[Key]:
        """Every caption that the sweep makes of one sample; `heads_in` [L] are the tower's heads by layer."""
        variants = [(sample, layer, head) for layer in self.layers for head in range(heads_in[layer])]
        return [(sample, layer, UNCHANGED) for layer in self.references] + variants


def sweep(
    adapter: Adapter,
    samples: Sequence[Sample],
    plan: SweepPlan,
    known: Mapping[Key, str],
    deliver: Callable[[Captions], None],
    means: Mapping[int, Tensor] | None = None,
) -> None:
    """Make the captions of `plan`, skipping samples whose captions are all known.

    Args:
        adapter: the model.
        samples: the pictures.
        plan: what to do.
        known: captions made before.
        deliver: called with new captions after each layer whose variants filled a batch of words.
        means: layer -> [T, H*dh], mean head outputs, for an edit that needs them.
    """
    heads_in = adapter.geometry.heads_in
    todo = [sample for sample in samples if any(key not in known for key in plan.keys(sample.id, heads_in))]
    fresh: Captions = {}
    queue = DecodeQueue(Decoder(adapter, plan.generation, plan.batch), fresh.__setitem__)
    room = Room(replayed_rows(plan.batch, adapter.device), "variants")
    for some, traced in traces(adapter, todo, plan.batch, plan.layers, [layer + 1 for layer in plan.references]):
        ids = [sample.id for sample in some]
        for layer in plan.references:
            queue.put([(id_, layer, UNCHANGED) for id_ in ids], traced.states[layer + 1], traced.form)
        for layer in plan.layers:
            context = Context(heads_in[layer], means[layer] if means is not None else None)
            for keys, states in layer_variants(adapter, traced.captures[layer], ids, plan, context, room):
                queue.put(keys, states, traced.form)
            _hand_over(fresh, deliver)
    queue.flush()
    _hand_over(fresh, deliver)


def layer_variants(
    adapter: Adapter, capture: Capture, ids: Sequence[str], plan: SweepPlan, context: Context, room: Room
) -> Iterator[tuple[list[Key], Tensor]]:
    """The states to decode, [R, T, n*d], of all heads of one captured layer, with the key of each row; as many heads at
    a time as `room` has rows for, each with all of the captured pictures `ids`."""

    def states_of(start: int, stop: int) -> Tensor:
        rows = plan.edit.variants(capture, range(start, stop), context)
        states = replay(adapter.sites[capture.layer], capture, rows.residual, rows.heads)
        if plan.decode_at is DecodePoint.LAST:
            return advance(adapter.sites, adapter.reads, states, capture)
        return stopped(adapter.reads, states, capture)

    for start, stop, states in room.pieces(context.heads, states_of, len(ids)):
        yield [(id_, capture.layer, head) for head in range(start, stop) for id_ in ids], states


def _hand_over(fresh: Captions, deliver: Callable[[Captions], None]) -> None:
    if fresh:
        deliver(dict(fresh))
        fresh.clear()


def mean_head_outputs(
    adapter: Adapter, samples: Sequence[Sample], layers: Sequence[int], batch: Batch
) -> dict[int, Tensor]:
    """layer -> [T, H*dh]: head outputs averaged over the samples, per token position; summed in float64, one pass."""
    sums: dict[int, Tensor] = {}
    for _, traced in traces(adapter, samples, batch, layers):
        for layer, capture in traced.captures.items():
            if layer in sums and sums[layer].shape != capture.heads.shape[1:]:
                raise ModelError(
                    "heads have a mean, token by token, over pictures of one size only",
                    "make all pictures the same size, or use --edit ablate",
                )
            # Summed on the CPU: not every device has float64.
            total = capture.heads.cpu().to(torch.float64).sum(dim=0)
            sums[layer] = sums[layer] + total if layer in sums else total
    return {layer: total / len(samples) for layer, total in sums.items()}
