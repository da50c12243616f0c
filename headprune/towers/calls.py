"""How a tower calls its layers, so that they can be called again on other rows.

headprune sees states as [B, T, d], a row a picture. Some towers lay them out otherwise: all pictures one behind the
other, [N, d], where the attention is told the borders; or a picture cut into n tiles, a row each, [B*n, t, d].
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from headprune.errors import ModelError


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a layer, for B pictures of one form.

    Attributes:
        pictures: B.
        inner: what the layer is given after the first axis: (t, d), or (d,) where pictures are packed.
        rows: size of that first axis.
        kwargs: what the tower passes besides the states.
    """

    pictures: int
    inner: tuple[int, ...]
    rows: int
    kwargs: dict[str, Any]

    def states(self, given: Tensor) -> Tensor:
        """States as the layer has them -> [B, T, width of `given`]."""
        # Spelled out: a layer without heads has states of width 0, of which no size can be inferred.
        tokens = self.rows * prod(self.inner[:-1]) // self.pictures
        return given.reshape(self.pictures, tokens, given.shape[-1])

    def rerun(self, layer: nn.Module, states: Tensor) -> Tensor:
        """The layer's output for other states of the same form, [R, T, d] -> [R, T, d]."""
        kwargs = {name: self._again(name, value, len(states)) for name, value in self.kwargs.items()}
        return first_tensor(layer(self.laid_out(states), **kwargs)).reshape(states.shape)

    def laid_out(self, states: Tensor) -> Tensor:
        """[R, T, width] -> as the layer wants them."""
        rows = len(states) * self.rows // self.pictures
        return states.reshape(rows, *self.inner[:-1], states.shape[-1])

    def _again(self, name: str, value: Any, rows: int) -> Any:
        """What was passed for B pictures, for R rows."""
        if isinstance(value, tuple | list):
            return type(value)(self._again(name, part, rows) for part in value)
        if not isinstance(value, Tensor) or value.dim() == 0:
            return value
        if self._are_borders(value):
            return self._borders(name, value, rows)
        if value.shape[0] == 1 != self.rows:
            return value
        if value.shape[0] != self.rows:
            raise ModelError(
                f"a layer takes {name} {list(value.shape)} beside {self.rows} rows of states",
                "this family needs a layout of its own",
            )
        mine = value[: self.rows // self.pictures]
        self._same(name, value, mine)
        return mine.repeat(rows, *[1] * (value.dim() - 1))

    def _are_borders(self, value: Tensor) -> bool:
        if len(self.inner) != 1 or value.dim() != 1 or value.is_floating_point():
            return False
        return bool(value[0] == 0 and value[-1] == self.rows) and (len(value) - 1) % self.pictures == 0

    def _borders(self, name: str, value: Tensor, rows: int) -> Tensor:
        """Borders of what attends to itself, 0 .. N, of B packed pictures -> of R."""
        lengths = value.diff()
        mine = lengths[: len(lengths) // self.pictures]
        self._same(name, lengths, mine)
        borders = torch.nn.functional.pad(mine.repeat(rows).cumsum(0), (1, 0))
        return borders.to(value.dtype)

    def _same(self, name: str, value: Tensor, mine: Tensor) -> None:
        """Rows are made of the first picture's: all others must be like it."""
        each = value.view(self.pictures, *mine.shape)
        if self.pictures > 1 and not torch.equal(each, mine.expand_as(each)):
            raise ModelError(
                f"a layer's {name} differs between pictures of one form", "this family needs a form of its own"
            )


def call_of(layer: nn.Module, pictures: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Call, Tensor]:
    """A layer's call, and the states it was given.

    Raises:
        ModelError: they are not states of that many pictures.
    """
    # By its class: accelerate puts a forward of its own on the instance.
    bound = inspect.signature(partial(type(layer).forward, layer)).bind(*args, **kwargs)
    name, *others = bound.arguments
    given = bound.arguments[name]
    rest = {key: bound.arguments[key] for key in others}
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            rest |= rest.pop(parameter.name, {})
    if not isinstance(given, Tensor) or given.dim() not in (2, 3) or given.shape[0] % pictures:
        shape = list(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise ModelError(
            f"a layer of the tower is given {shape} for {pictures} pictures, not [B, T, d] or [N, d]",
            "this family needs a layout of its own",
        )
    return Call(pictures, tuple(given.shape[1:]), given.shape[0], rest), given


def first_tensor(answer: Any) -> Tensor:
    """The states in a module's answer: the answer itself, or the first of a tuple."""
    states = answer[0] if isinstance(answer, tuple) else answer
    if not isinstance(states, Tensor):
        raise ModelError(
            f"a module answered with {type(states).__name__}, not a tensor", "this family needs a layout of its own"
        )
    return states
