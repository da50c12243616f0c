"""The edit `placeholder`: one head at a time is multiplied by a factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import headprune
import torch
from torch import Tensor


class PlaceholderSettings(headprune.Settings):
    """What can be set, by `--edit-option factor=0` or in a recipe.

    Attributes:
        factor: what the head's output is multiplied by: 0 silences it, 1 changes
            nothing, -1 turns it around.
    """

    factor: float = 0.25


class Placeholder(headprune.CoefficientEdit):
    """A coefficient for each head: `factor` for one of them, 1 for all others.

    An edit that is more than a coefficient subclasses `headprune.Edit`, whose
    `variants` returns what goes into the layer, and what its heads say.

    Attributes:
        comparable: whether importances mean the same in all layers (ACROSS), or
            only beside those of their own layer (WITHIN).
        removes: whether a variant lacks its head (a head is then important when
            the caption changes), or keeps it.
        neutral: settings under which nothing changes; None where there are none.
    """

    Settings = PlaceholderSettings
    settings: PlaceholderSettings
    comparable: ClassVar[headprune.Comparable] = headprune.Comparable.ACROSS
    removes: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"factor": 1.0}

    def coefficients(self, heads: Sequence[int], total: int) -> Tensor:
        """Return one coefficient for each head of the layer, in a row per variant.

        Args:
            heads: which head each variant is about, 0-based; V of them.
            total: H, heads of the layer.

        Returns:
            [V, H], finite. Rows do not depend on one another.
        """
        s = torch.ones(len(heads), total)
        s[range(len(heads)), list(heads)] = self.settings.factor
        return s
