"""The lesions of METHOD.md, "Lesion experiments": each chooses what a layer's residual and its attention read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from headprune.edits.edit import Rows


@dataclass(frozen=True, slots=True)
class Input:
    """What a layer may read.

    Attributes:
        states: [B, T, d], or [1, T, d] where it is the same for all pictures.
        heads: asked what the layer's heads say to it, [B, T, H*dh] or [1, T, H*dh].
    """

    states: Tensor
    heads: Callable[[], Tensor]


Lesion = Callable[[Input, Input], Rows]
"""What a layer is made to read and say, for its real input and for the mean input."""


def mean_input(real: Input, mean: Input) -> Rows:
    """The attention reads the mean, the residual stream stays: Z' = Z[l-1] + MSA(norm1(mean))."""
    return Rows(real.states, mean.heads().expand(len(real.states), -1, -1))


def confuse(real: Input, mean: Input) -> Rows:
    """The residual stream is the mean, the attention reads the real input: Z' = mean + MSA(norm1(Z[l-1]))."""
    return Rows(mean.states.expand_as(real.states), real.heads())


LESIONS: Mapping[str, Lesion] = MappingProxyType({"mean-input": mean_input, "confuse": confuse})
"""By name."""
