"""The edits of METHOD.md, "Variants of one layer": s is the vector of coefficients of the layer's H heads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from headprune.edits.edit import Comparable, Context, Edit, Rows, one_hot, repeated, replaced, scaled
from headprune.hooks.kinds import Settings
from headprune.towers.capture import Capture


class CoefficientEdit(Edit):
    """An edit that is a coefficient for each head, the residual stream staying as it is."""

    @abstractmethod
    def coefficients(self, heads: Sequence[int], total: int) -> Tensor:
        """s, [V, H]: row v belongs to heads[v]."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        s = self.coefficients(heads, context.heads)
        return Rows(repeated(capture.residual, len(s)), scaled(capture, s))


class Isolate(CoefficientEdit):
    """s = one-hot(h): only head h speaks, the residual stream stays. The paper's "output of head h"."""

    comparable = Comparable.WITHIN
    removes = False

    def coefficients(self, heads: Sequence[int], total: int) -> Tensor:
        return one_hot(heads, total)


class IsolateDirect(Isolate):
    """As `isolate`, with the residual stream left out: Z' = c[h] + b."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        return Rows(torch.zeros_like(rows.residual), rows.heads)


class Ablate(CoefficientEdit):
    """s = 1 - one-hot(h): head h is silent."""

    comparable = Comparable.ACROSS
    removes = True

    def coefficients(self, heads: Sequence[int], total: int) -> Tensor:
        return 1 - one_hot(heads, total)


class MeanAblate(Edit):
    """Head h says its mean over the samples, per token position, in place of its own output."""

    comparable = Comparable.ACROSS
    removes = True
    needs = frozenset({"means"})
    neutral: ClassVar[Mapping[str, Any] | None] = {}

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        assert context.means is not None, "the sweep gives means to an edit that needs them"
        return replaced(capture, heads, context.heads, context.means)


class ScaleSettings(Settings):
    """Settings of `scale`.

    Attributes:
        factor: multiplies the head's output: 0 is `ablate`, 1 changes nothing.
    """

    factor: float = Field(0.5, allow_inf_nan=False)


class Scale(CoefficientEdit):
    """s = 1 but for head h, which is multiplied by `factor`. Any other s: `headprune.edits.edit.scaled`."""

    Settings = ScaleSettings
    settings: ScaleSettings
    comparable: ClassVar[Comparable] = Comparable.ACROSS
    removes = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"factor": 1.0}

    def coefficients(self, heads: Sequence[int], total: int) -> Tensor:
        return 1 + (self.settings.factor - 1) * one_hot(heads, total)
