"""Data flow (Eq. 3-6): what each head, the attention's bias and the MLP add to the residual stream.

Exact at every token: Z[l+1] - Z[l] = g2*MLP + g1*(sum_h c[h] + b), layers 0-based. The bias belongs to no head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from pydantic import InstanceOf
from torch import Tensor

from headprune.errors import ModelError, UsageError, notice
from headprune.perspectives.contributions import by_source, taken_apart
from headprune.scoring.statistics import Floats
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, Pictures, picture_batches
from headprune.towers.memory import Room
from headprune.towers.passes import Passes, Seen
from headprune.types import Grid, Sample

Maps = Annotated[NDArray[np.float32], InstanceOf()]
"""Numbers by layer, head and token: many, and no more exact than a tower computes."""

# How far the parts' sum may be from the update, relative to the states; coarse dtypes round by more.
_TOLERANCE = 1e-3
_ROUNDINGS = 8


@dataclass(frozen=True, slots=True)
class Parts:
    """One quantity of every part of a layer's update, n pictures and L layers.

    Attributes:
        heads: [n, L, H], of each head's contribution g1*c[h]; NaN where a sliced layer has no such head.
        bias: [n, L], of the output projection's bias, g1*b.
        mlp: [n, L], of the MLP's answer, g2*MLP.
    """

    heads: Floats
    bias: Floats
    mlp: Floats


@dataclass(frozen=True, slots=True)
class Flow:
    """A layer's update u = Z[l+1] - Z[l] and its parts, at one token or averaged over all of them.

    Projection and share are NaN where a layer changes nothing.

    Attributes:
        norm: |part|, in the units of the residual stream.
        projection: <part, u> / |u|, how far the part goes in the update's direction, in the same units; the parts'
            sum is |u|.
        share: <part, u> / <u, u>; the parts' sum is 1.
        update: [n, L], |u|.
    """

    norm: Parts
    projection: Parts
    share: Parts
    update: Floats


@dataclass(frozen=True, slots=True)
class Sources:
    """Where one picture's contributions come from: of source token i, g1 * a[h][j, i] (v[h][i] W[h]), at the reading
    token j, or averaged over all reading tokens.

    Attributes:
        grids: which part of the picture each token is; none where the model's way to prepare it does not tell.
        norm: [L, H, T], its norm; NaN where a sliced layer has no such head.
        projection: [L, H, T], its projection on the update of token j; over i they sum to the head's.
    """

    grids: tuple[Grid, ...]
    norm: Maps
    projection: Maps


@dataclass(frozen=True, slots=True)
class DataFlow:
    """The data flow of n pictures through L layers, in the order they were asked for.

    Attributes:
        samples: the pictures' ids, [n].
        layers: 0-based, [L].
        token: j, the reading token, 0-based; None for the mean over all tokens.
        at: at token j; None where `token` is.
        mean: each quantity, averaged over all tokens.
        sources: of each picture; T is its own.
        error: [n, L], the largest |u - sum of the parts| at any token, relative to the largest number in the states.
    """

    samples: tuple[str, ...]
    layers: tuple[int, ...]
    token: int | None
    at: Flow | None
    mean: Flow
    sources: tuple[Sources, ...]
    error: Floats

    @property
    def chosen(self) -> Flow:
        """At the reading token, or the mean where there is none."""
        return self.at or self.mean

    def reading(self, cls: bool) -> str:
        """Where `chosen` is, in words; `cls` says whether token 0 is a CLS token."""
        if self.token is None:
            return "mean over tokens"
        return "CLS" if cls and self.token == 0 else f"token {self.token}"


def data_flow(
    adapter: Adapter,
    samples: Sequence[Sample],
    layers: Sequence[int],
    batch: Batch,
    token: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> DataFlow:
    """What each part of each of `layers` adds to the residual stream of each picture (METHOD.md, data flow).

    One tower pass a picture; more where the attention of all layers does not fit in memory together.

    Args:
        adapter: the model.
        samples: the pictures.
        layers: 0-based.
        batch: at most how many pictures go through the tower together.
        token: the reading token, 0-based (0 is CLS where `adapter.geometry.cls`); None averages over all of them.
        progress: called with the number of pictures done.

    Raises:
        UsageError: a picture has no such token.
        ModelError: the parts do not add up to the update, so the family's layout does not describe its layers.
    """
    tables = _Tables(adapter, samples, layers, token)
    passes = Passes(adapter, layers, batch)
    room = Room(passes.pictures, "pictures")
    for pictures in picture_batches(adapter, samples, room.size):

        def some(start: int, stop: int, pictures: Pictures = pictures) -> list[_Found]:
            return [*_through(adapter, passes, pictures.pixels[start:stop], pictures, token)]

        for start, stop, found in room.pieces(len(pictures.samples), some):
            tables.put(pictures.samples[start:stop], pictures.opened[start:stop], found)
            progress(tables.done)
    return tables.result()


@dataclass(frozen=True, slots=True)
class _Found:
    """One layer and B pictures, averaged over tokens and, K = 2, at the reading one.

    Attributes:
        layer: 0-based.
        parts: [K, B, 3, P], norm, projection and share of the bias, the MLP and each head.
        update: [K, B].
        sources: [2, B, H, T], norm and projection.
        error: [B].
    """

    layer: int
    parts: Floats
    update: Floats
    sources: Floats
    error: Floats


def _through(
    adapter: Adapter, passes: Passes, pixels: Tensor, pictures: Pictures, token: int | None
) -> Iterator[_Found]:
    for seen in passes.seen(pixels, pictures.form):
        layer, tokens = seen.capture.layer, seen.mlp.shape[1]
        if token is not None and not 0 <= token < tokens:
            raise UsageError(
                f"there is no token {token}: {pictures.samples[0].id} has {tokens}", "tokens are counted from 0"
            )
        yield _found(adapter, seen, layer, token)


def _found(adapter: Adapter, seen: Seen, layer: int, token: int | None) -> _Found:
    site = adapter.sites[layer]
    apart = taken_apart(site, adapter.geometry.heads_in[layer], seen.capture, seen.mlp)
    _check(layer, float(apart.error.max()), seen.capture.output.dtype)

    def read(numbers: Tensor) -> Tensor:
        averaged = numbers.mean(dim=1)
        return torch.stack([averaged] if token is None else [averaged, numbers[:, token]])

    return _Found(
        layer,
        _plain(read(torch.stack([apart.norm, apart.projection, apart.share], dim=2))),
        _plain(read(apart.update)),
        _plain(torch.stack(by_source(site, seen.attention, apart, token))),
        _plain(apart.error),
    )


def _check(layer: int, error: float, dtype: torch.dtype) -> None:
    # Written so that NaN does not pass.
    if not error <= max(_TOLERANCE, _ROUNDINGS * torch.finfo(dtype).eps):
        raise ModelError(
            f"the heads, the bias and the MLP of layer {layer} miss its update by {error:.2g} of the states' size",
            "the family's layout does not fit this model",
        )


def _plain(numbers: Tensor) -> Floats:
    plain: Floats = numbers.cpu().double().numpy()
    return plain


class _Tables:
    """What was found, by picture and layer: NaN where a layer has no such head."""

    def __init__(self, adapter: Adapter, samples: Sequence[Sample], layers: Sequence[int], token: int | None) -> None:
        self._adapter = adapter
        self._samples = tuple(sample.id for sample in samples)
        self._layers = tuple(layers)
        self._heads = adapter.geometry.heads
        self._token = token
        shape = (len(self._samples), len(self._layers))
        readings = 1 if token is None else 2
        self._parts = np.full((readings, *shape, 3, 2 + self._heads), np.nan)
        self._update = np.full((readings, *shape), np.nan)
        self._error = np.full(shape, np.nan)
        self._sources: dict[str, Maps] = {}
        self._grids: dict[str, tuple[Grid, ...]] = {}

    @property
    def done(self) -> int:
        """Pictures so far."""
        return len(self._sources)

    def put(self, samples: Sequence[Sample], opened: Sequence[Image], found: Sequence[_Found]) -> None:
        names = [sample.id for sample in samples]
        rows = [self._samples.index(name) for name in names]
        self._grids |= {name: _grids(self._adapter, picture) for name, picture in zip(names, opened, strict=True)}
        for layer in found:
            column, parts = self._layers.index(layer.layer), layer.parts.shape[-1]
            self._parts[:, rows, column, :, :parts] = layer.parts
            self._update[:, rows, column] = layer.update
            self._error[rows, column] = layer.error
            for place, name in enumerate(names):
                shape = (2, len(self._layers), self._heads, layer.sources.shape[-1])
                sources = self._sources.setdefault(name, np.full(shape, np.nan, np.float32))
                sources[:, column, : parts - 2] = layer.sources[:, place]

    def result(self) -> DataFlow:
        mean, *at = (_flow(parts, update) for parts, update in zip(self._parts, self._update, strict=True))
        return DataFlow(
            self._samples,
            self._layers,
            self._token,
            at[0] if at else None,
            mean,
            tuple(Sources(self._grids[name], *self._sources[name]) for name in self._samples),
            self._error,
        )


def _grids(adapter: Adapter, picture: Image) -> tuple[Grid, ...]:
    try:
        return adapter.grids(picture)
    except ModelError as error:
        notice(f"sources are told by token only: {error}")
        return ()


def _flow(parts: Floats, update: Floats) -> Flow:
    """Of [n, L, 3, 2 + H]: norm, projection and share of the bias, the MLP and each head."""
    norm, projection, share = (
        Parts(parts[:, :, kind, 2:], parts[:, :, kind, 0], parts[:, :, kind, 1]) for kind in range(3)
    )
    return Flow(norm, projection, share, update)
