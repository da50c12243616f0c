"""What the contract of edits gives to them: layers of the bundled model, captured on a few of its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headprune.demo.dataset import held_out
from headprune.edits.edit import NEEDS, Comparable, Context, Edit, Rows
from headprune.patch.slice import sliced
from headprune.scoring.contexts import Contexts
from headprune.towers.adapter import Adapter, LoadRequest
from headprune.towers.batches import Batch, traces
from headprune.towers.capture import Capture
from headprune.towers.load import load_model
from headprune.types import Sample

PICTURES = 3
LAYER = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """A layer with all that an edit may ask for, whether or not it does."""

    capture: Capture
    context: Context

    @property
    def heads(self) -> range:
        """All heads of the layer."""
        return range(self.context.heads)

    def tensors(self) -> dict[str, Tensor]:
        """By where they are found (`capture.heads`, `context.attention.weights`)."""
        return dict(_tensors(self.capture, "capture")) | dict(_tensors(self.context, "context"))


@cache
def bundled(dtype: str = "float32") -> Adapter:
    """The bundled model, loaded once."""
    return load_model("demo", LoadRequest("demo", dtype=dtype, device="cpu"))


def together() -> Seen:
    """A layer of three pictures, captured together; a new copy of its tensors each time."""
    return deepcopy(_seen(PICTURES)[0])


def one_by_one() -> list[Seen]:
    """The same of each picture alone."""
    return [deepcopy(seen) for seen in _seen(1)]


def in_half_precision() -> Seen:
    """The same in bfloat16."""
    return deepcopy(_seen(PICTURES, "bfloat16")[0])


def of_one_head() -> Seen:
    """The layer of a sliced model in which a single head is left."""
    return deepcopy(_seen_of_one_head())


def with_silent_heads() -> Seen:
    """The layer when all its heads say nothing but zeros, also of the other pictures."""
    seen = together()
    attention = seen.context.attention
    assert attention is not None and seen.context.means is not None and seen.context.donors is not None
    silent = replace(attention, values=torch.zeros_like(attention.values))
    means, donors = torch.zeros_like(seen.context.means), torch.zeros_like(seen.context.donors)
    return Seen(
        replace(seen.capture, heads=torch.zeros_like(seen.capture.heads)),
        Context(seen.context.heads, means, donors, silent),
    )


def as_its_own_stand_in(seen: Seen) -> Seen:
    """The layer of one picture whose means and donors are what its heads say anyway."""
    own = seen.capture.heads
    return Seen(seen.capture, replace(seen.context, means=own[0].to(torch.float64), donors=own.clone()))


class _Everything(Edit):
    """Asks for all that there is, to have it made."""

    comparable = Comparable.WITHIN
    removes = False
    needs = NEEDS

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        raise NotImplementedError("nothing is edited here")


@cache
def _seen(pictures: int, dtype: str = "float32") -> list[Seen]:
    return _look(bundled(dtype), pictures)


@cache
def _seen_of_one_head() -> Seen:
    adapter = bundled()
    left = np.ones((adapter.geometry.layers, adapter.geometry.heads), np.float32)
    left[LAYER, 1:] = 0
    return _look(sliced(adapter, left), PICTURES)[0]


def _look(adapter: Adapter, pictures: int) -> list[Seen]:
    """The layer of three samples, so many `pictures` at a time."""
    samples = [Sample(f"scene {n}", entry.captions, entry.picture) for n, entry in enumerate(held_out(PICTURES))]
    contexts = Contexts(adapter, samples, [LAYER], _Everything(), Batch(64, pictures))
    passes = traces(adapter, samples, contexts.batch, contexts.capture)
    return [Seen(*found) for some, traced in passes for found in contexts.of(some, traced)]


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """All that lie in `value`, however deep."""
    if isinstance(value, Tensor):
        yield name, value
    elif is_dataclass(value):
        for part in fields(value):
            yield from _tensors(getattr(value, part.name), f"{name}.{part.name}")
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(part, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _tensors(part, f"{name}[{number}]")
