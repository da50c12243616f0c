"""A layer's remainder, run again on other rows: the model's own code, with the attention answering from memory.

A replay takes two things: which residual goes in and what the attention answers. Every edit and lesion is a choice of
these two. No forward of a model is written again here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from headprune.errors import ModelError
from headprune.towers.capture import Capture, read
from headprune.towers.layout import Site, TowerLayout


@contextmanager
def answering(module: nn.Module, answer: Any) -> Iterator[None]:
    """Within the context, calling `module` returns `answer` and runs nothing of it.

    Raises:
        ModelError: the module was not called exactly once, so what was computed is not what was meant.
    """
    calls = 0

    def forward(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        return answer

    # accelerate, too, puts a forward on the instance; whatever stood there is put back.
    before = module.__dict__.get("forward")
    module.__dict__["forward"] = forward
    try:
        yield
    finally:
        if before is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = before
    if calls != 1:
        raise ModelError(
            f"{type(module).__name__} was asked {calls} times, not once", "this family needs a layout of its own"
        )


@contextmanager
def showing(sites: tuple[Site, ...], layout: TowerLayout, states: Tensor) -> Iterator[None]:
    """Within the context the tower's layers say what is read of them, and run nothing.

    What the model makes of its tower's output, be it a final norm or a connector that reads several depths, is then its
    own code; what stands before the layers has to be answered for by the caller.

    Args:
        sites: the tower's layers.
        layout: of the tower.
        states: [R, T, n*d], or as else the tower lays out its rows.
    """
    reads = layout.depths(len(sites))
    # In one piece each, as a layer answers: connectors may view them in another shape.
    parts = dict(zip(reads, (part.contiguous() for part in states.chunk(len(reads), dim=-1)), strict=True))
    with ExitStack() as stack:
        for site in sites:
            # Where nothing is read, anything may stand that has the right shape.
            said = parts.get(site.index + 1, parts[max(reads)])
            answer = (said, *[None] * (layout.answers - 1)) if layout.answers > 1 else said
            stack.enter_context(answering(site.layer, answer))
        yield


@torch.no_grad()
def replay(site: Site, capture: Capture, residual: Tensor, heads: Tensor) -> Tensor:
    """The layer's output when it reads `residual` and its heads say `heads`.

    Args:
        site: the layer.
        capture: a capture of this layer; says how else the layer is called.
        residual: [R, T, d], what goes into the layer; may be expanded.
        heads: [R, T, H*dh], what the output projection reads.

    Returns:
        [R, T, d].
    """
    attention = site.output(capture.call.laid_out(heads))
    answer = (attention, *capture.attended[1:]) if isinstance(capture.attended, tuple) else attention
    with answering(site.attention, answer):
        return capture.call.rerun(site.layer, residual)


@torch.no_grad()
def heads_reading(site: Site, capture: Capture, states: Tensor) -> Tensor:
    """What the layer's heads say, [R, T, H*dh], when it reads other `states`, [R, T, d]: the model's own code, x[h] of
    MSA(norm1(states)).

    Args:
        site: the layer.
        capture: a capture of this layer; says how it is called.
        states: of pictures of the captured form; may be expanded.

    Raises:
        ModelError: the output projection did not read them exactly once.
    """
    said: list[Tensor] = []
    handle = site.output.register_forward_pre_hook(lambda module, args: said.append(args[0]))
    try:
        capture.call.rerun(site.layer, states)
    finally:
        handle.remove()
    if len(said) != 1:
        raise ModelError(
            f"heads of layer {site.index} spoke {len(said)} times, not once", "this family needs a layout of its own"
        )
    return said[0].reshape(*states.shape[:2], said[0].shape[-1])


def stopped(reads: Sequence[int], states: Tensor, captured: Capture) -> Tensor:
    """What is read of a tower that stops behind `captured.layer` with `states`, [R, T, d] -> [R, T, n*d]."""
    return read(reads, captured.earlier, captured.layer + 1, states)


@torch.no_grad()
def advance(
    sites: tuple[Site, ...],
    reads: Sequence[int],
    states: Tensor,
    captured: Capture,
    changed: Mapping[int, Callable[[Tensor], Tensor]] | None = None,
) -> Tensor:
    """Run the layers after `captured.layer` that matter on `states`, [R, T, d] -> what is read, [R, T, n*d].

    Args:
        changed: what is done to the states, [R, T, d] -> [R, T, d], in place of these layers.
    """
    passed = dict(captured.earlier)
    last = max(reads)
    for site in sites[captured.layer + 1 : last]:
        if site.index in reads:
            passed[site.index] = states
        if changed and site.index in changed:
            states = changed[site.index](states)
        else:
            states = captured.calls[site.index].rerun(site.layer, states)
    return read(reads, passed, max(last, captured.layer + 1), states)
