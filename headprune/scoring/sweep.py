"""The sweep: every head's variant of every layer, in words, in as few passes as there are pictures.

A layer is captured once; its variants share that capture and run the layer's remainder together, and the captions of
many layers, heads and pictures are generated in one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headprune.edits.edit import Context, Edit, variants_of
from headprune.errors import NumberError, SampleError
from headprune.scoring.contexts import Contexts
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


def sweep(adapter: Adapter, samples: Sequence[Sample], plan: SweepPlan, deliver: Callable[[Captions], None]) -> None:
    """Make the captions of `plan`.

    Args:
        adapter: the model.
        samples: the pictures; an edit that compares pictures sees all of them.
        plan: what to do.
        deliver: called with captions after each layer whose variants filled a batch of words.

    Raises:
        SampleError: a picture cannot be read, or the model makes of it what is no number.
    """
    contexts = Contexts(adapter, samples, plan.layers, plan.edit, plan.batch)
    decoder = Decoder(adapter, plan.generation, plan.batch)
    sweep_some(samples, plan, contexts, decoder, variants_at_once(adapter, plan.batch), deliver)


def sweep_some(
    samples: Sequence[Sample],
    plan: SweepPlan,
    contexts: Contexts,
    decoder: Decoder,
    room: Room,
    deliver: Callable[[Captions], None],
) -> None:
    """The same of some of the samples that `contexts` knows; how much `decoder` and `room` (of `variants_at_once`) take
    is found out once."""
    adapter = contexts.adapter
    fresh: Captions = {}
    queue = DecodeQueue(decoder, fresh.__setitem__)
    depths = [layer + 1 for layer in plan.references]
    for some, traced in traces(adapter, samples, contexts.batch, contexts.capture, depths):
        ids = [sample.id for sample in some.samples]
        for layer in plan.references:
            keys = [(id_, layer, UNCHANGED) for id_ in ids]
            check_finite(traced.states[layer + 1], keys)
            queue.put(keys, traced.states[layer + 1], traced.form)
        for capture, context in contexts.of(some, traced):
            for keys, states in layer_variants(adapter, capture, ids, plan, context, room):
                queue.put(keys, states, traced.form)
            _hand_over(fresh, deliver)
    queue.flush()
    _hand_over(fresh, deliver)


def variants_at_once(adapter: Adapter, batch: Batch) -> Room:
    """How many variants go through a layer together."""
    return Room(replayed_rows(batch, adapter.device), "variants")


def layer_variants(
    adapter: Adapter, capture: Capture, ids: Sequence[str], plan: SweepPlan, context: Context, room: Room
) -> Iterator[tuple[list[Key], Tensor]]:
    """The states to decode, [R, T, n*d], of all heads of one captured layer, with the key of each row; as many heads at
    a time as `room` has rows for, each with all of the captured pictures `ids`."""

    def states_of(start: int, stop: int) -> Tensor:
        rows = variants_of(plan.edit, capture, range(start, stop), context)
        states = replay(adapter.sites[capture.layer], capture, rows.residual, rows.heads)
        if plan.decode_at is DecodePoint.LAST:
            return advance(adapter.sites, adapter.reads, states, capture)
        return stopped(adapter.reads, states, capture)

    for start, stop, states in room.pieces(context.heads, states_of, len(ids)):
        keys = [(id_, capture.layer, head) for head in range(start, stop) for id_ in ids]
        check_finite(states, keys)
        yield keys, states


def check_finite(values: Tensor, keys: Sequence[Key]) -> None:
    """See that `values` [R, ...] of these keys are numbers; a sum that is one was taken of numbers.

    Raises:
        SampleError: they are not, and whose they are.
    """
    sums = values.flatten(1).sum(dim=1, dtype=torch.promote_types(values.dtype, torch.float32))
    wrong = (~sums.isfinite()).nonzero()
    if len(wrong):
        sample, layer, head = keys[int(wrong[0])]
        where = f"layer {layer}" if head == UNCHANGED else f"layer {layer} with head {head} edited"
        error = NumberError(int(wrong[0]), str(values.dtype))
        raise SampleError(sample, f"{where}: {error.message}", error.hint)


def _hand_over(fresh: Captions, deliver: Callable[[Captions], None]) -> None:
    if fresh:
        deliver(dict(fresh))
        fresh.clear()
