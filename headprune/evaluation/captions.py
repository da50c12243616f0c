"""What a model says of the same pictures under many sets of head coefficients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from headprune.patch.apply import applied
from headprune.patch.patch import Array
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, DecodeQueue, Decoder, Key, Pictures, picture_batches
from headprune.towers.memory import Room
from headprune.types import Generation, Sample


def captions_under(
    adapter: Adapter,
    samples: Sequence[Sample],
    tables: Sequence[Array],
    generation: Generation,
    batch: Batch,
    progress: Callable[[int], None] = lambda done: None,
) -> list[list[str]]:
    """Captions of each sample with the heads scaled by each of `tables`, [L, H]: [tables][samples].

    Each picture is opened and prepared once; what the connector and the language model make of the tower's output
    does not depend on the coefficients, so captions of many tables are generated together. The model is unchanged
    when this returns.

    Args:
        progress: called with the number of captions made so far.
    """
    last = adapter.geometry.layers
    said: dict[Key, str] = {}
    queue = DecodeQueue(Decoder(adapter, generation, batch), said.__setitem__)
    room = Room(batch.pictures, "pictures")
    for pictures in picture_batches(adapter, samples, batch.pictures):
        some = pictures.samples
        for number, s in enumerate(tables):
            with applied(adapter, s):
                for start, stop, states in room.pieces(len(some), partial(_passed, adapter, pictures)):
                    # A caption is told from others by its table, in the place of a head.
                    queue.put([(sample.id, last - 1, number) for sample in some[start:stop]], states, pictures.form)
            progress(len(said))
    queue.flush()
    progress(len(said))
    return [[said[sample.id, last - 1, number] for sample in samples] for number in range(len(tables))]


def _passed(adapter: Adapter, pictures: Pictures, start: int, stop: int) -> Tensor:
    return adapter.last_states(pictures.pixels[start:stop], pictures.form)
