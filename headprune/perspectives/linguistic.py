"""The linguistic perspective (Eq. 9): what the model would say if it stopped after a given layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from headprune.edits.edit import Context
from headprune.edits.heads import Isolate
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, DecodeQueue, Decoder, Key, told_of, traces
from headprune.towers.replay import replay, stopped
from headprune.types import Form, Generation, Sample


def captions_by_layer(
    adapter: Adapter, samples: Sequence[Sample], layers: Sequence[int], generation: Generation, batch: Batch
) -> list[list[str]]:
    """D(Z[l]) of each sample for each of `layers` (0-based: layer l's output), [samples][layers].

    One tower pass a picture; the words of many layers and pictures are generated together.
    """
    said: dict[Key, str] = {}
    queue = DecodeQueue(Decoder(adapter, generation, batch), said.__setitem__)
    for some, traced in traces(adapter, samples, batch, depths=[layer + 1 for layer in layers]):
        for layer in layers:
            queue.put([(sample.id, layer, 0) for sample in some.samples], traced.states[layer + 1], traced.form)
    queue.flush()
    return [[said[sample.id, layer, 0] for layer in layers] for sample in samples]


def captions_of_head(
    adapter: Adapter, samples: Sequence[Sample], layer: int, head: int, generation: Generation, batch: Batch
) -> list[str]:
    """What one head says alone: the layer's output with every other head silent, decoded at that layer (isolate)."""
    said: dict[str, str] = {}
    decoder = Decoder(adapter, generation, batch)
    for some, states, form in states_of_head(adapter, samples, layer, head, batch):
        ids = [sample.id for sample in some]
        with told_of(ids):
            said |= zip(ids, decoder.decode(states, form), strict=True)
    return [said[sample.id] for sample in samples]


States = Iterator[tuple[Sequence[Sample], Tensor, Form]]
"""Samples whose pictures are of one form, with what is to be put into words of each, [B, T, n*d]."""


def states_of_layer(adapter: Adapter, samples: Sequence[Sample], layer: int, batch: Batch) -> States:
    """What is read of a tower that stops behind `layer`."""
    for some, traced in traces(adapter, samples, batch, depths=[layer + 1]):
        yield some.samples, traced.states[layer + 1], traced.form


def states_of_head(adapter: Adapter, samples: Sequence[Sample], layer: int, head: int, batch: Batch) -> States:
    """What is read of a tower that stops behind `layer`, every other head of which is silent (isolate)."""
    isolate, context = Isolate(), Context(adapter.geometry.heads_in[layer])
    for some, traced in traces(adapter, samples, batch, [layer]):
        capture = traced.captures[layer]
        rows = isolate.variants(capture, [head], context)
        replayed = replay(adapter.sites[layer], capture, rows.residual, rows.heads)
        yield some.samples, stopped(adapter.reads, replayed, capture), traced.form


def labels_with_probability(
    adapter: Adapter, samples: Sequence[Sample], states: States, generation: Generation
) -> list[tuple[str, float]]:
    """The label that a model which chooses gives each sample, and how probable it finds it.

    Args:
        states: of all the samples.
    """
    said: dict[str, tuple[str, float]] = {}
    for some, shown, form in states:
        ids = [sample.id for sample in some]
        with told_of(ids):
            labels = adapter.decode(shown, generation, form)
        probable = adapter.probability(shown, labels, generation, form).tolist()
        said |= zip(ids, zip(labels, probable, strict=True), strict=True)
    return [said[sample.id] for sample in samples]
