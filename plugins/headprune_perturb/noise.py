"""The `noise` edit: a head's output with Gaussian noise of its own size added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from headprune import Capture, Comparable, Context, Edit, Rows, Settings, per_head, replaced


class NoiseSettings(Settings):
    """Settings of `noise`.

    Attributes:
        scale: standard deviation of the noise, in root mean squares of what the head itself says of the picture; 0
            changes nothing.
        seed: draws the noise.
    """

    scale: float = Field(1.0, ge=0, allow_inf_nan=False)
    seed: int = Field(0, ge=0)


class Noise(Edit):
    """x[h] + scale * rms(x[h]) * n[h], n[h] normal and the same for every picture; the mean square is over a picture's
    tokens and the head's width."""

    Settings = NoiseSettings
    settings: NoiseSettings
    comparable = Comparable.ACROSS
    removes = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"scale": 0.0}

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        """Noise is rounded to the head's dtype before it is added: without any, no bit changes."""
        own = per_head(capture.heads, context.heads)
        noisy = own.clone()
        for head in heads:
            said = own[..., head, :]
            size = said.float().square().mean(dim=(1, 2), keepdim=True).sqrt()
            noise = self.settings.scale * size * self._drawn(capture.layer, head, said)
            noisy[..., head, :] = said + noise.to(said.dtype)
        return replaced(capture, heads, context.heads, noisy.flatten(-2))

    def _drawn(self, layer: int, head: int, said: Tensor) -> Tensor:
        """n[h], [T, dh] float32. Drawn on the CPU: every device then adds the same."""
        generator = np.random.default_rng((self.settings.seed, layer, head))
        drawn = generator.standard_normal(tuple(said.shape[1:]), dtype=np.float32)
        return torch.from_numpy(drawn).to(said.device)
