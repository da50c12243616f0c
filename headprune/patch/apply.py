"""A patch on a model: reversible in memory, or folded into a checkpoint that needs no headprune to load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from headprune.errors import PatchError
from headprune.patch.patch import Array
from headprune.towers.adapter import Adapter


@contextmanager
def applied(adapter: Adapter, coefficients: Array) -> Iterator[None]:
    """Within the context, head h of layer l is multiplied by coefficients[l, h]; afterwards the very tensors are back.

    Scaling the columns of the output projection that read head h equals scaling the head's attention; the bias stays
    (METHOD.md, Coefficients). The original parameters are set aside, not divided back, so a head scaled by 0 returns.

    Args:
        adapter: the model.
        coefficients: s, [L, H]; those of heads that a sliced layer does not have play no part.

    Raises:
        PatchError: the coefficients are not [L, H] finite numbers.
    """
    geometry = adapter.geometry
    s = torch.as_tensor(coefficients, dtype=torch.float32)
    if s.shape != (geometry.layers, geometry.heads) or not torch.isfinite(s).all():
        raise PatchError(
            f"coefficients must be {geometry.layers} x {geometry.heads} finite numbers", "see headprune patch show"
        )
    originals: list[tuple[nn.Linear, nn.Parameter]] = []
    try:
        for site, row in zip(adapter.sites, s, strict=True):
            here = row[: geometry.heads_in[site.index]]
            if bool((here != 1).any()):
                weight: nn.Parameter = site.output.weight  # type: ignore[assignment]  # torch types it as a Tensor
                originals.append((site.output, weight))
                site.output.weight = nn.Parameter(folded(weight, here), requires_grad=weight.requires_grad)
        yield
    finally:
        for output, weight in originals:
            output.weight = weight


def scaled(adapter: Adapter, coefficients: Array) -> AbstractContextManager[None]:
    """`applied`, or nothing where all coefficients are 1."""
    return nullcontext() if (coefficients == 1).all() else applied(adapter, coefficients)


@torch.no_grad()
def folded(weight: Tensor, s: Tensor) -> Tensor:
    """W[d, H*dh] with the columns of head h multiplied by s[h]; multiplied in float32 and rounded once."""
    columns = s.to(weight.device).repeat_interleave(weight.shape[1] // len(s))
    return (weight.float() * columns).to(weight.dtype)
