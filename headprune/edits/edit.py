"""What an edit is: variants of one layer, each a choice of what its heads say and which residual stands beside them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import torch
from torch import Tensor

from headprune.hooks.kinds import Configurable
from headprune.towers.capture import Capture


class Comparable(str, Enum):
    """Where raw importances may be compared: within one layer only, or across layers (METHOD.md, Pruning)."""

    WITHIN = "within-layer"
    ACROSS = "across-layers"


@dataclass(frozen=True, slots=True)
class Rows:
    """Variants ready for replay, variant-major: row v*B + b is picture b under variant v.

    Attributes:
        residual: [V*B, T, d], what goes into the layer.
        heads: [V*B, T, H*dh], what the output projection reads.
    """

    residual: Tensor
    heads: Tensor


@dataclass(frozen=True, slots=True)
class Context:
    """What an edit may know besides the capture.

    Attributes:
        heads: H, heads of the layer.
        means: [T, H*dh], the layer's mean head outputs over the samples; None unless the edit asks for them.
    """

    heads: int
    means: Tensor | None = None


class Edit(Configurable, ABC):
    """One way to change a layer, head by head. Rows are independent of one another.

    Attributes:
        comparable: where its raw importances may be compared.
        removes: True when a variant lacks its head (importance is then 1 - score), False when it keeps it.
        needs_means: whether `Context.means` must be there.
    """

    comparable: ClassVar[Comparable]
    removes: ClassVar[bool]
    needs_means: ClassVar[bool] = False

    @abstractmethod
    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        """The variants for the given heads (0-based) of the captured layer, V = len(heads)."""


def per_head(outputs: Tensor, heads: int) -> Tensor:
    """[..., H*dh] -> [..., H, dh], without a copy."""
    return outputs.view(*outputs.shape[:-1], heads, -1)


def scaled(capture: Capture, coefficients: Tensor) -> Tensor:
    """Head outputs scaled by a coefficient each: s[V, H] * x -> [V*B, T, H*dh].

    Computed in the head outputs' own dtype: a coefficient of 1 leaves them bit for bit as they are.
    """
    x = per_head(capture.heads, coefficients.shape[1])
    s = coefficients.to(x.device, x.dtype)[:, None, None, :, None]
    return (s * x[None]).flatten(-2).flatten(0, 1)


def repeated(states: Tensor, variants: int) -> Tensor:
    """[B, T, d] -> [V*B, T, d], variant-major."""
    return states.expand(variants, *states.shape).flatten(0, 1)


def one_hot(heads: Sequence[int], total: int) -> Tensor:
    """[V, H], row v is 1 at heads[v]."""
    return torch.nn.functional.one_hot(torch.tensor(list(heads)), total).to(torch.float32)
