"""What an edit is: variants of one layer, each a choice of what its heads say and which residual stands beside them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

import torch
from torch import Tensor

from headprune.errors import PluginError
from headprune.hooks.blame import blaming, place
from headprune.hooks.kinds import Configurable
from headprune.towers.adapter import Attention
from headprune.towers.capture import Capture
from headprune.towers.memory import out_of_memory


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
    """What an edit may know besides the capture. What it does not ask for by `needs` is None.

    Attributes:
        heads: H, heads of the layer.
        means: [T, H*dh], the layer's mean head outputs over the samples.
        donors: [B, T, H*dh], the layer's head outputs on another sample for each picture: the one drawn after it.
        attention: weights and values of the layer's heads; weights @ values are the head outputs, to rounding.
    """

    heads: int
    means: Tensor | None = None
    donors: Tensor | None = None
    attention: Attention | None = None


NEEDS = frozenset({"means", "donors", "attention"})
"""What an edit may ask for."""


class Edit(Configurable, ABC):
    """One way to change a layer, head by head. Rows are independent of one another.

    Attributes:
        comparable: where its raw importances may be compared.
        removes: True when a variant lacks its head (importance is then 1 - score), False when it keeps it.
        needs: what of the context must be there: "means", "donors", "attention". Each costs passes of its own.
        neutral: settings under which a variant changes nothing when means and donors are the head's own outputs; None
            where there are none, as for an edit that silences heads.
    """

    comparable: ClassVar[Comparable]
    removes: ClassVar[bool]
    needs: ClassVar[frozenset[str]] = frozenset()
    neutral: ClassVar[Mapping[str, Any] | None] = None

    @abstractmethod
    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        """The variants for the given heads (0-based) of the captured layer, V = len(heads)."""


def variants_of(edit: Edit, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
    """What `edit` makes of these heads, seen to be rows that a layer can be replayed on.

    Raises:
        PluginError: the edit failed, or its rows are not what they have to be. What says that memory ran out passes as
            it is: that is no fault, and fewer heads may fit.
    """
    name = f"edit {type(edit).__name__}"
    try:
        with blaming(name, edit):
            rows = edit.variants(capture, heads, context)
    except PluginError as error:
        if error.__cause__ is not None and out_of_memory(error.__cause__):
            raise error.__cause__ from None
        raise
    if not isinstance(rows, Rows):
        raise PluginError(
            f"{name} returned {type(rows).__name__}, not headprune.Rows", f"{_place(edit)}: mend it there"
        )
    for part, wanted in (("residual", capture.residual), ("heads", capture.heads)):
        found, due = getattr(rows, part), (len(heads) * len(wanted), *wanted.shape[1:])
        if not isinstance(found, Tensor) or tuple(found.shape) != due or found.dtype != wanted.dtype:
            said = f"{found.dtype} {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise PluginError(
                f"{name} returned {part} {said} for {len(heads)} heads of {len(wanted)} pictures",
                f"{_place(edit)}: {wanted.dtype} {list(due)}, variant-major: row v*B + b is picture b under variant v",
            )
        # Where the model itself overflowed, the edit is not to blame.
        if not _are_finite(found) and _are_finite(wanted):
            raise PluginError(
                f"{name} returned {part} that are not finite", f"{_place(edit)}: all numbers must be finite"
            )
    return rows


def _are_finite(numbers: Tensor) -> bool:
    # The sum is not finite where a number is not, and takes a fraction of the time; one that overflowed says nothing.
    total = numbers.sum(dtype=torch.promote_types(numbers.dtype, torch.float32))
    return bool(torch.isfinite(total)) or bool(torch.isfinite(numbers).all())


def _place(edit: Edit) -> str:
    """Where to mend it. What an edit inherits is not to blame for what it makes of it."""
    return place(type(edit).variants if "variants" in vars(type(edit)) else edit)


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


def replaced(capture: Capture, heads: Sequence[int], total: int, others: Tensor) -> Rows:
    """Variants in which head h says what it says in `others`, in place of its own output.

    Args:
        heads: one a variant, 0-based, of `total` H.
        others: [B, T, H*dh] or [T, H*dh], of which variant v takes the part of heads[v]; [V, B, T, H*dh] where each
            variant has its own.
    """
    x, others = per_head(capture.heads, total), per_head(others.to(capture.heads), total)
    chosen = one_hot(heads, total).to(x.device, torch.bool)[:, None, None, :, None]
    return Rows(repeated(capture.residual, len(heads)), torch.where(chosen, others, x).flatten(-2).flatten(0, 1))


def one_hot(heads: Sequence[int], total: int) -> Tensor:
    """[V, H], row v is 1 at heads[v]."""
    return torch.nn.functional.one_hot(torch.tensor(list(heads)), total).to(torch.float32)
