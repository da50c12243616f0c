"""The `resample` edit: a head's output on another picture in place of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from headprune import Capture, Comparable, Context, Edit, Rows, replaced


class Resample(Edit):
    """Head h says what it says of the sample drawn next, token by token: resampling ablation (Chan et al. 2022, "Causal
    scrubbing"). Unlike silence or a mean, what it says then is something that it does say, though of another picture.
    """

    comparable = Comparable.ACROSS
    removes = True
    needs: ClassVar[frozenset[str]] = frozenset({"donors"})
    neutral: ClassVar[Mapping[str, Any] | None] = {}

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        """x[h] = x[h] of the donor."""
        assert context.donors is not None, "the sweep gives donors to an edit that needs them"
        return replaced(capture, heads, context.heads, context.donors)
