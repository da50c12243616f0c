"""The `logit` scorer: next-token distributions compared."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from headprune import LogitRows, LogitScorer, Settings


class LogitSettings(Settings):
    """Settings of `logit`.

    Attributes:
        measure: `kl`, how far the next-token distributions move away from the unchanged model's; `likelihood`, how
            likely the unchanged model's caption stays.
    """

    measure: Literal["kl", "likelihood"] = "kl"


class Logit(LogitScorer):
    """How near a variant stays to the unchanged model, in nats, along the caption that the latter says.

    `kl`: minus KL(unchanged || changed) of the next-token distributions, the mean over the caption's tokens; 0 at most.
    `likelihood`: the caption's log-likelihood, the sum over its tokens. The end token counts as one of them.
    """

    Settings = LogitSettings
    settings: LogitSettings

    def score(self, rows: LogitRows) -> Tensor:
        """[R], in nats, higher is nearer."""
        if self.settings.measure == "likelihood":
            chosen = rows.changed.gather(-1, rows.tokens[..., None])[..., 0]
            return torch.where(rows.mask, chosen, 0).sum(dim=-1)
        divergence = torch.nn.functional.kl_div(rows.changed, rows.unchanged, reduction="none", log_target=True)
        return -torch.where(rows.mask, divergence.sum(dim=-1), 0).sum(dim=-1) / rows.mask.sum(dim=-1)
