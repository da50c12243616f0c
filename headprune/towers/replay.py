"""A layer's remainder, run again on other rows: the model's own code, with the attention answering from memory.

A replay takes two things: which residual goes in and what the attention answers. Every edit and lesion is a choice of
these two. No forward of a model is written again here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from headprune.errors import ModelError
from headprune.towers.capture import Capture, first_tensor
from headprune.towers.layout import Site


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


@torch.no_grad()
def replay(site: Site, capture: Capture, residual: Tensor, heads: Tensor) -> Tensor:
    """The layer's output when it reads `residual` and its heads say `heads`.

    Args:
        site: the layer.
        capture: a capture of this layer; gives what else the layer is called with.
        residual: [R, T, d], what goes into the layer; may be expanded.
        heads: [R, T, H*dh], what the output projection reads.

    Returns:
        [R, T, d].
    """
    attention = site.output(heads)
    answer = (attention, *capture.attended[1:]) if isinstance(capture.attended, tuple) else attention
    with answering(site.attention, answer):
        return first_tensor(site.layer(residual, **capture.kwargs))


@torch.no_grad()
def advance(sites: tuple[Site, ...], states: Tensor, captured: Capture) -> Tensor:
    """Run the layers after `captured.layer` on `states`, [R, T, d] -> Z[L], [R, T, d]."""
    for site in sites[captured.layer + 1 :]:
        states = first_tensor(site.layer(states, **captured.kwargs))
    return states
