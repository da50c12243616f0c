"""One layer's update, taken apart into what its heads, its bias and its MLP add (Eq. 3-6), in float32 or better."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from headprune.towers.adapter import Attention
from headprune.towers.capture import Capture
from headprune.towers.layout import Site


@dataclass(frozen=True, slots=True)
class Apart:
    """The parts of u = Z[l+1] - Z[l] of B pictures; P parts: the bias, the MLP, then each head.

    Attributes:
        direction: [B, T, d], u / |u|.
        update: [B, T], |u|.
        norm, projection, share: [B, T, P], |part|, <part, u> / |u|, <part, u> / <u, u>.
        error: [B], the largest |u - sum of the parts|, relative to the largest number in Z[l] and Z[l+1].
    """

    direction: Tensor
    update: Tensor
    norm: Tensor
    projection: Tensor
    share: Tensor
    error: Tensor


@torch.no_grad()
def taken_apart(site: Site, heads: int, capture: Capture, mlp: Tensor) -> Apart:
    """The parts of a layer's update at every token.

    Args:
        site: the layer.
        heads: H, how many it has.
        capture: of this layer.
        mlp: [B, T, d], what its MLP answered.
    """
    after = _exact(capture.output)
    # Where a model is spread over devices, a layer's input may still lie on the one before.
    before = _exact(capture.residual).to(after.device)
    u = after - before
    update = u.norm(dim=-1)
    direction = u / update[..., None]
    rest, norms, projections = u.clone(), [], []
    for part in _parts(site, heads, _exact(capture.heads), _exact(mlp)):
        rest -= part
        norms.append(part.norm(dim=-1).expand_as(update))
        projections.append((part * direction).sum(dim=-1))
    projection = torch.stack(projections, dim=-1)
    size = torch.stack([before, after]).abs().amax(dim=(0, 2, 3))
    return Apart(
        direction,
        update,
        torch.stack(norms, dim=-1),
        projection,
        projection / update[..., None],
        rest.abs().amax(dim=(1, 2)) / size,
    )


@torch.no_grad()
def by_source(site: Site, attention: Attention, apart: Apart, token: int | None) -> tuple[Tensor, Tensor]:
    """(norm, projection), [B, H, T] each, of g1 * a[h][j, i] (v[h][i] W[h]) by its source i.

    Args:
        site: the layer.
        attention: of this layer's heads.
        apart: its update.
        token: j; None averages over all of them.
    """
    weights, values = attention.weights, _exact(attention.values)
    heads, width = values.shape[1], values.shape[-1]
    if not heads:
        nothing = values.new_zeros(*values.shape[:3])
        return nothing, nothing
    scaled, _ = _projection(site)
    by_head = scaled.reshape(-1, heads, width)
    said = torch.stack([(values[:, head] @ by_head[:, head].T).norm(dim=-1) for head in range(heads)], dim=1)
    # The update's direction as each head's values see it: <v W, u> = <v, u W^T>.
    pulled = (apart.direction @ scaled).reshape(len(values), -1, heads, width).transpose(1, 2)
    if token is None:
        taken = weights.mean(dim=2)
        projection = ((weights.transpose(-1, -2).to(pulled.dtype) @ pulled) * values).sum(dim=-1) / weights.shape[2]
    else:
        taken = weights[:, :, token]
        projection = taken * (values @ pulled[:, :, token, :, None])[..., 0]
    return taken * said, projection


def _parts(site: Site, heads: int, x: Tensor, mlp: Tensor) -> Iterator[Tensor]:
    """g1*b [d], g2*MLP [B, T, d], then each g1*c[h] [B, T, d]."""
    weight, bias = _projection(site)
    yield bias
    yield mlp * _exact(site.scales[1]) if site.scales else mlp
    for head in range(heads):
        width = weight.shape[1] // heads
        columns = slice(head * width, (head + 1) * width)
        yield x[..., columns] @ weight[:, columns].T


def _projection(site: Site) -> tuple[Tensor, Tensor]:
    """g1*W [d, H*dh] and g1*b [d]."""
    weight = _exact(site.output.weight)
    bias = weight.new_zeros(len(weight)) if site.output.bias is None else _exact(site.output.bias)
    if not site.scales:
        return weight, bias
    scale = _exact(site.scales[0])
    return weight * scale.reshape(-1, 1), bias * scale


def _exact(numbers: Tensor) -> Tensor:
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))
