"""Scoring by derivatives (Michel et al. 2019): how the loss answers to every head's coefficient, in one way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headprune.edits.edit import per_head
from headprune.hooks.kinds import GradientScorer
from headprune.scoring.importance import scored_tensor
from headprune.scoring.statistics import Floats
from headprune.scoring.work import Scores, Work
from headprune.towers.adapter import Adapter
from headprune.towers.batches import UNCHANGED, Key, Pictures, chunks, gradient_pictures, prepared
from headprune.towers.memory import Room
from headprune.types import Form, Generation


def gradient_importances(work: Work, scorer: GradientScorer, layers: tuple[int, ...]) -> Floats:
    """Importance of each head on each sample, [m, len(layers), H]; NaN where a layer has no such head."""
    adapter, generation = work.adapter, work.settings.generation
    geometry = adapter.geometry
    ones = np.ones((geometry.layers, geometry.heads), np.float32)
    last = geometry.live - 1
    work.make_captions("captions", (), (last,), ones)
    heads = [(layer, head) for layer in layers for head in range(geometry.heads_in[layer])]

    def make(known: Mapping[Key, float], deliver: Callable[[Scores], None]) -> None:
        size = gradient_pictures(adapter, generation, work.settings.batch)
        room = Room(size, "pictures")
        for some in chunks(work.samples, size):
            keys = [(sample.id, *head) for sample in some for head in heads]
            # A batch is done as a whole, so that a run that goes on computes it as the first would have.
            if all(key in known for key in keys):
                continue
            for pictures in prepared(adapter, some):
                ids = [sample.id for sample in pictures.samples]
                said = [work.captions[id_, last, UNCHANGED] for id_ in ids]
                passes = room.pieces(len(ids), partial(_gradients, adapter, pictures, said, generation))
                gradients = torch.cat([piece for _, _, piece in passes])
                found = scored_tensor(scorer, gradients, tuple(gradients.shape)).tolist()
                deliver({(id_, *at): found[row][at[0]][at[1]] for row, id_ in enumerate(ids) for at in heads})

    wanted = [(sample.id, *head) for sample in work.samples for head in heads]
    scores = work.make_scores("gradients", wanted, ones, make)
    values = np.full((len(work.samples), len(layers), geometry.heads), np.nan)
    for row, sample in enumerate(work.samples):
        for layer, head in heads:
            values[row, layers.index(layer), head] = scores[sample.id, layer, head]
    return values


def _gradients(
    adapter: Adapter, pictures: Pictures, captions: Sequence[str], generation: Generation, start: int, stop: int
) -> Tensor:
    return head_gradients(adapter, pictures.pixels[start:stop], captions[start:stop], generation, pictures.form)


@torch.enable_grad()
def head_gradients(
    adapter: Adapter, pixels: Tensor, captions: Sequence[str], generation: Generation, form: Form = None
) -> Tensor:
    """d loss / d s[h] at s = 1 of each picture alone, for all heads of all layers at once: [B, L, H].

    The loss is the mean negative log-likelihood of a token of the caption, decoded at the last layer. 0 where a layer
    has no such head. The model is left as it was.

    Args:
        pixels: [B, ...], prepared pictures.
        captions: B, what the unchanged model said.
        generation: how they were generated.
        form: of the pictures.
    """
    geometry = adapter.geometry
    s = torch.ones(
        len(pixels), geometry.layers, geometry.heads, device=pixels.device, dtype=_exact(pixels), requires_grad=True
    )
    with frozen(adapter.model), _scaled(adapter, s):
        states = adapter.pass_through(pixels, depths=[geometry.layers], form=form).states[geometry.layers]
        forced = adapter.likelihood(states, captions, generation, form)
        loss = -forced.chosen.sum(dim=-1) / forced.mask.sum(dim=-1)
        (gradients,) = torch.autograd.grad(loss.sum(), s)
    return gradients


def _exact(pixels: Tensor) -> torch.dtype:
    return torch.promote_types(pixels.dtype, torch.float32)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Within the context no weight asks for a gradient, so that nothing is kept for it on the way forward."""
    asking = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in asking:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


@contextmanager
def _scaled(adapter: Adapter, s: Tensor) -> Iterator[None]:
    """Within the context head h of layer l says s[b, l, h] times what it says of picture b; s [B, L, H]."""
    with ExitStack() as stack:
        for site, heads in zip(adapter.sites, adapter.geometry.heads_in, strict=True):
            if heads:
                handle = site.output.register_forward_pre_hook(_scaling(s[:, site.index, :heads]))
                stack.callback(handle.remove)
        yield


def _scaling(s: Tensor) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    """A hook that scales the head outputs [B, T, H*dh] that an output projection reads, however the tower lays out its
    B pictures, by s, [B, H]."""

    def scale(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x = per_head(args[0].reshape(len(s), -1, args[0].shape[-1]), s.shape[1])
        return ((x * s[:, None, :, None].to(x.device, x.dtype)).reshape(args[0].shape), *args[1:])

    return scale
