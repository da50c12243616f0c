"""Pictures in, captions out, both in batches: how many of each fit at once, and a queue in front of the decoder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from PIL.Image import Image
from torch import Tensor

from headprune.errors import NumberError, PictureError, SampleError
from headprune.hooks.checks import opened
from headprune.towers.adapter import Adapter
from headprune.towers.capture import Trace
from headprune.towers.memory import Room, budget, measured
from headprune.types import Form, Generation, Geometry, Sample

# What one row of a replay or a decode may cost beside its states: the MLP's hidden layer is 4 widths, attention
# inputs and outputs a few more.
_WIDTHS_PER_TOKEN = 12
# What is kept of a layer for a backward pass, in widths: what its norms, attention and MLP read and say.
_WIDTHS_FOR_GRADIENTS = 24
# Distributions [S, V] that one teacher-forced row costs: logits, log-probabilities of both models, and a scorer's work.
_DISTRIBUTIONS = 8
_MOST_ROWS = 1024
_MOST_PICTURES = 64
# On a CPU few rows go through a layer together: what its parts make of them is then still in the cache.
_REPLAYED_ON_CPU = 128
_PROBED_ROWS = 32


@dataclass(frozen=True, slots=True)
class Batch:
    """How much is done at once. Whatever it says, less is done where memory runs out.

    Attributes:
        rows: variants decoded together, and at most replayed together.
        pictures: pictures in one tower pass.
        probing: whether `rows` is a guess from the tower alone, to be found for decoding by a first, smaller batch.
    """

    rows: int
    pictures: int
    probing: bool = False


def choose_batch(geometry: Geometry, tokens: int, itemsize: int, asked: int | None, device: torch.device) -> Batch:
    """Rows by the memory at hand (a quarter of what is free on CUDA, 1 GiB on a CPU), or as asked.

    Args:
        geometry: of the tower.
        tokens: T, tokens of one picture.
        itemsize: bytes of a number in the tower's dtype.
        asked: rows the user asked for; None chooses.
        device: where the tower runs.
    """
    row = tokens * geometry.width * itemsize
    rows = asked or max(1, min(_MOST_ROWS, budget(device) // (row * _WIDTHS_PER_TOKEN)))
    # A picture in a pass holds a capture (residual, head outputs, output) of every layer.
    held = max(1, budget(device) // (3 * row * geometry.layers))
    pictures = max(1, min(rows // max(1, geometry.heads), held, _MOST_PICTURES))
    return Batch(rows, pictures, probing=asked is None)


def replayed_rows(batch: Batch, device: torch.device) -> int:
    """Variants that go through a layer together."""
    return batch.rows if device.type != "cpu" else min(batch.rows, _REPLAYED_ON_CPU)


def logit_batch(adapter: Adapter, generation: Generation, batch: Batch) -> Batch:
    """`batch` made small enough for the next-token distributions [rows, S, V] of teacher-forced captions.

    As many pictures as make the variants of one layer a full batch of rows.
    """
    steps, words = adapter.distributions(generation)
    row = _DISTRIBUTIONS * 4 * steps * words
    rows = max(1, min(batch.rows, budget(adapter.device) // row))
    return Batch(rows, max(1, min(batch.pictures, rows // max(1, adapter.geometry.heads))))


def gradient_pictures(adapter: Adapter, generation: Generation, batch: Batch) -> int:
    """How many pictures fit in one pass whose every layer is kept for the way back."""
    geometry = adapter.geometry
    kept = adapter.tokens * geometry.width * adapter.dtype.itemsize * geometry.layers * _WIDTHS_FOR_GRADIENTS
    return max(1, min(logit_batch(adapter, generation, batch).rows, budget(adapter.device) // kept))


def chunks(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    """Samples, `size` at a time."""
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Samples whose pictures are of one form, with those pictures `opened`, and their pixels [B, ...]."""

    samples: Sequence[Sample]
    opened: Sequence[Image]
    pixels: Tensor
    form: Form

    def part(self, start: int, stop: int) -> Pictures:
        """Some of them."""
        return Pictures(self.samples[start:stop], self.opened[start:stop], self.pixels[start:stop], self.form)


def prepared(adapter: Adapter, samples: Sequence[Sample]) -> list[Pictures]:
    """Samples with their pixels, those of one form together; in the order of their first ones."""
    seen = [picture_of(sample) for sample in samples]
    forms = [adapter.form(picture) for picture in seen]
    alike = {form: [row for row, other in enumerate(forms) if other == form] for form in dict.fromkeys(forms)}
    groups = []
    for form, rows in alike.items():
        pictures = [seen[row] for row in rows]
        groups.append(Pictures([samples[row] for row in rows], pictures, adapter.prepare(pictures), form))
    return groups


def picture_of(sample: Sample) -> Image:
    """The sample's picture.

    Raises:
        SampleError: it cannot be read.
    """
    try:
        return opened(sample)
    except PictureError as error:
        raise SampleError(sample.id, error.message, error.hint) from error


def picture_batches(adapter: Adapter, samples: Sequence[Sample], size: int) -> Iterator[Pictures]:
    """Samples with their pixels, `size` at a time or fewer; the next ones are opened and prepared meanwhile."""
    with ThreadPoolExecutor(1, "headprune-pictures") as worker:
        coming = [worker.submit(prepared, adapter, some) for some in [*chunks(samples, size)][:1]]
        for start in range(size, len(samples) + size, size):
            ready = coming.pop().result()
            if start < len(samples):
                coming.append(worker.submit(prepared, adapter, samples[start : start + size]))
            yield from ready


def traces(
    adapter: Adapter,
    samples: Sequence[Sample],
    batch: Batch,
    capture: Collection[int] = (),
    depths: Collection[int] = (),
) -> Iterator[tuple[Pictures, Trace]]:
    """Pictures with a tower pass over them, as many at a time as `batch` says and memory holds."""

    def passed(pictures: Pictures, start: int, stop: int) -> Trace:
        return adapter.trace(pictures.pixels[start:stop], capture, depths, pictures.form)

    room = Room(batch.pictures, "pictures")
    for pictures in picture_batches(adapter, samples, batch.pictures):
        for start, stop, traced in room.pieces(len(pictures.samples), partial(passed, pictures)):
            yield pictures.part(start, stop), traced


class Decoder:
    """Puts states into words, as many rows at a time as memory holds.

    Where the batch size is to be found, a first batch of a few rows is watched, and rows are chosen by what it took.

    Args:
        adapter: decodes.
        generation: how.
        batch: how many rows to begin with.
    """

    def __init__(self, adapter: Adapter, generation: Generation, batch: Batch) -> None:
        self._adapter = adapter
        self._generation = generation
        self._probing = batch.probing and batch.rows > _PROBED_ROWS
        self._room = Room(_PROBED_ROWS if self._probing else batch.rows, "captions")

    @property
    def rows(self) -> int:
        """Rows of a full batch, for now."""
        return self._room.size

    def decode(self, states: Tensor, form: Form = None) -> list[str]:
        """Captions of states [R, T, n*d] of pictures of one form, in order.

        Raises:
            NumberError: the model makes of a row what is no number.
        """

        def some(start: int, stop: int) -> list[str]:
            try:
                return self._some(states[start:stop], form)
            except NumberError as error:
                raise NumberError(start + error.row, error.dtype) from error

        said: list[str] = []
        for _, _, captions in self._room.pieces(len(states), some):
            said += captions
        return said

    def _some(self, states: Tensor, form: Form) -> list[str]:
        if not self._probing or len(states) < _PROBED_ROWS:
            return self._adapter.decode(states, self._generation, form)
        captions, grown = measured(self._adapter.device, lambda: self._adapter.decode(states, self._generation, form))
        self._probing = False
        if grown is not None:
            # Beside what was measured, the queue holds each row's states, twice while they are put together.
            each = grown // len(states) + 2 * states[0].nbytes
            # A power of two: what was measured varies a little from run to run, what is chosen should not.
            fitting = max(1, budget(self._adapter.device) // each)
            self._room.size = min(_MOST_ROWS, 1 << (fitting.bit_length() - 1))
        return captions


@contextmanager
def told_of(ids: Sequence[str]) -> Iterator[None]:
    """Within the context, what is no number is told of the sample whose row it is.

    Raises:
        SampleError: a row is none.
    """
    try:
        yield
    except NumberError as error:
        raise SampleError(ids[error.row], error.message, error.hint) from error


class DecodeQueue:
    """Collects states until a batch is full, then puts it into words. Pictures of another form are another batch.

    Args:
        decoder: decodes, and says how many rows are a full batch.
        deliver: called with (key, caption) for each row; in order, where all pictures are of one form.
    """

    def __init__(self, decoder: Decoder, deliver: Callable[[Key, str], None]) -> None:
        self._decoder = decoder
        self._deliver = deliver
        self._waiting: dict[Form, tuple[list[Key], list[Tensor]]] = {}

    def put(self, keys: Sequence[Key], states: Tensor, form: Form = None) -> None:
        """Add states [R, T, n*d] of pictures of one form, row r known as keys[r]; decodes whatever fills a batch.

        No more rows than a batch has wait, whatever their forms: the fullest is decoded where they would.

        Raises:
            SampleError: the model makes of one what is no number; what waited with it is forgotten.
        """
        while keys:
            known, waiting = self._waiting.setdefault(form, ([], []))
            room = max(0, self._decoder.rows - sum(len(others) for others, _ in self._waiting.values()))
            known += keys[:room]
            waiting.append(states[:room])
            keys, states = keys[room:], states[room:]
            if sum(len(others) for others, _ in self._waiting.values()) >= self._decoder.rows:
                self._decode(max(self._waiting, key=lambda form: len(self._waiting[form][0])))

    def flush(self) -> None:
        """Decode what is left."""
        for form in list(self._waiting):
            self._decode(form)

    def _decode(self, form: Form) -> None:
        keys, states = self._waiting.pop(form)
        with told_of([key[0] for key in keys]):
            said = self._decoder.decode(torch.cat(states), form)
        for key, caption in zip(keys, said, strict=True):
            self._deliver(key, caption)


Key = tuple[str, int, int]
"""(sample id, layer, head): whose caption it is, 0-based; head -1 is the unchanged model's."""

UNCHANGED = -1
