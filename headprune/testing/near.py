"""What contracts about models share: numbers that ought to be equal, and which of many heads are looked at."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from headprune.patch.patch import Array
from headprune.scoring.statistics import Floats
from headprune.testing.contract import Contract
from headprune.towers.adapter import LoadRequest
from headprune.types import Geometry

_MOST = 4


class Near(Contract):
    """Base of contracts about a model's numbers.

    Attributes:
        tolerance: by how much two numbers that ought to be equal may differ, relative to the largest of them (or to 1,
            where that is larger). Raise it only for a model that computes less exactly than in float32.
    """

    tolerance: ClassVar[float] = 1e-5

    def _assert_near(self, found: Tensor, wanted: Tensor, times: float = 1.0) -> None:
        """Fail unless they agree within `times` the tolerance."""
        size = max(1.0, float(wanted.detach().abs().max())) if wanted.numel() else 1.0
        torch.testing.assert_close(found, wanted, atol=times * self.tolerance * size, rtol=times * self.tolerance)

    def _assert_alike(self, found: Floats, wanted: Floats) -> None:
        """The same of tables of numbers, which were summed up in another order."""
        self._assert_near(torch.as_tensor(found).double(), torch.as_tensor(wanted).double(), times=10)


def asked(name: str) -> LoadRequest:
    """The model that contracts load: where numbers are exact, and the same everywhere."""
    return LoadRequest(name, dtype="float32", device="cpu")


def spread(total: int) -> list[int]:
    """All of 0..total - 1; of many, the first, the last and two between: what is slow is done for these alone."""
    return sorted({round(place) for place in np.linspace(0, total - 1, min(total, _MOST))})


def some_heads(geometry: Geometry) -> Array:
    """Coefficients [L, H] that scale heads, silence some and turn one around; a layer loses all, where a tower can
    spare it."""
    s = np.ones((geometry.layers, geometry.heads), np.float32)
    middle = geometry.live // 2
    s[middle, -1], s[middle, 0] = -1.5, 2
    s[0, 0], s[0, -1] = 0, 0.5
    if geometry.live > 1:
        s[geometry.live - 1] = 0
    return s
