"""Scoring by derivatives (Michel et al. 2019): how the loss answers to every head's coefficient, in one way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from headprune.edits.edit import per_head
from headprune.hooks.kinds import GradientScorer
from headprune.scoring.importance import scored_tensor
from headprune.scoring.sweep import check_finite
from headprune.towers.adapter import Adapter
from headprune.towers.batches import UNCHANGED, Key, Pictures, prepared
from headprune.towers.memory import Room
from headprune.types import Form, Generation, Sample


def derive(
    adapter: Adapter,
    some: Sequence[Sample],
    layers: Sequence[int],
    said: Mapping[Key, str],
    scorer: GradientScorer,
    generation: Generation,
    room: Room,
    deliver: Callable[[dict[Key, float]], None],
) -> None:
    """Score all heads of `layers` on some pictures that go together, which the unchanged model `said` this of at its
    last layer; `room` says how many go through it at once."""
    last = adapter.geometry.live - 1
    heads = [(layer, head) for layer in layers for head in range(adapter.geometry.heads_in[layer])]
    for pictures in prepared(adapter, some):
        ids = [sample.id for sample in pictures.samples]
        captions = [said[id_, last, UNCHANGED] for id_ in ids]

        def gradients(
            start: int, stop: int, pictures: Pictures = pictures, captions: Sequence[str] = captions
        ) -> Tensor:
            part = pictures.part(start, stop)
            return head_gradients(adapter, part.pixels, captions[start:stop], generation, part.form)

        found = torch.cat([piece for _, _, piece in room.pieces(len(ids), gradients)])
        check_finite(found, [(id_, last, UNCHANGED) for id_ in ids])
        scores = scored_tensor(scorer, found, tuple(found.shape)).tolist()
        deliver({(id_, *at): scores[row][at[0]][at[1]] for row, id_ in enumerate(ids) for at in heads})


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
