"""The linguistic perspective (Eq. 9): what the model would say if it stopped after a given layer."""

from __future__ import annotations

from collections.abc import Sequence

from headprune.edits.edit import Context
from headprune.edits.heads import Isolate
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, DecodeQueue, Key, picture_batches
from headprune.towers.replay import replay
from headprune.types import Generation, Sample


def captions_by_layer(
    adapter: Adapter, samples: Sequence[Sample], layers: Sequence[int], generation: Generation, batch: Batch
) -> list[list[str]]:
    """D(Z[l]) of each sample for each of `layers` (0-based: layer l's output), [samples][layers].

    One tower pass a picture; the words of many layers and pictures are generated together.
    """
    said: dict[Key, str] = {}
    queue = DecodeQueue(adapter, generation, batch.rows, said.__setitem__)
    for some, pixels in picture_batches(adapter, samples, batch.pictures):
        traced = adapter.trace(pixels, depths=[layer + 1 for layer in layers])
        for layer in layers:
            queue.put([(sample.id, layer, 0) for sample in some], traced.states[layer + 1])
    queue.flush()
    return [[said[sample.id, layer, 0] for layer in layers] for sample in samples]


def captions_of_head(
    adapter: Adapter, samples: Sequence[Sample], layer: int, head: int, generation: Generation, batch: Batch
) -> list[str]:
    """What one head says alone: the layer's output with every other head silent, decoded at that layer (isolate)."""
    captions: list[str] = []
    isolate, context = Isolate(), Context(adapter.geometry.heads_in[layer])
    for _, pixels in picture_batches(adapter, samples, batch.pictures):
        capture = adapter.trace(pixels, [layer]).captures[layer]
        rows = isolate.variants(capture, [head], context)
        captions += adapter.decode(replay(adapter.sites[layer], capture, rows.residual, rows.heads), generation)
    return captions
