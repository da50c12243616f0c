"""The `attention-temperature` edit: a head that attends more evenly, or more sharply, than it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from headprune import Capture, Comparable, Context, Edit, Rows, Settings, per_head, replaced


class TemperatureSettings(Settings):
    """Settings of `attention-temperature`.

    Attributes:
        temperature: what the head's scores are divided by before the softmax: above 1 the head attends more evenly,
            below 1 more sharply; 1 changes nothing.
    """

    temperature: float = Field(2.0, gt=0, allow_inf_nan=False)


class AttentionTemperature(Edit):
    """x[h] = a' v[h], with a' = softmax(q k^T / temperature) in place of a[h] = softmax(q k^T).

    It asks whether it matters where a head attends, not whether the head does: one that attends evenly anyway loses
    nothing by a higher temperature, however much it says.
    """

    Settings = TemperatureSettings
    settings: TemperatureSettings
    comparable = Comparable.ACROSS
    removes = True
    needs: ClassVar[frozenset[str]] = frozenset({"attention"})
    neutral: ClassVar[Mapping[str, Any] | None] = {"temperature": 1.0}

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        """Computed in float32, for the given heads alone."""
        attention, chosen = context.attention, list(heads)
        assert attention is not None, "the sweep gives attention to an edit that needs it"
        weights = tempered(attention.weights[:, chosen], self.settings.temperature)
        said = weights @ attention.values[:, chosen].to(weights.dtype)
        others = capture.heads.clone()
        per_head(others, context.heads)[..., chosen, :] = said.transpose(1, 2).to(others.dtype)
        return replaced(capture, heads, context.heads, others)


def tempered(weights: Tensor, temperature: float) -> Tensor:
    """softmax(scores / t) from a = softmax(scores), [..., T, T]: a ** (1/t), each row brought back to a sum of 1.

    A weight of 0 stays 0: tokens that the tower keeps apart stay apart (as do those to which float32 gave nothing).
    """
    # Against the largest of its row, which no temperature changes: nothing overflows. Below 1e-30 it alone is left.
    scores = (weights / weights.amax(dim=-1, keepdim=True)).log() * min(1 / temperature, 1e30)
    return scores.masked_fill(weights == 0, float("-inf")).softmax(dim=-1)
