"""Edits that need what METHOD.md's own do not."""

from __future__ import annotations

from typing import ClassVar

import torch

from headprune import Comparable, Edit, Rows
from headprune.edits.edit import one_hot, per_head, repeated


class _Put(Edit):
    """Another output in the place of head h's own."""

    comparable = Comparable.ACROSS
    removes = True
    neutral: ClassVar = {}

    def variants(self, capture, heads, context):
        chosen = one_hot(heads, context.heads).bool()[:, None, None, :, None]
        own = per_head(capture.heads, context.heads)
        rows = torch.where(chosen, per_head(self.other(context), context.heads), own)
        return Rows(repeated(capture.residual, len(heads)), rows.flatten(-2).flatten(0, 1))


class Swap(_Put):
    """Head h says what it says of the next picture."""

    needs = frozenset({"donors"})

    def other(self, context):
        return context.donors


class Look(_Put):
    """Head h says what its attention takes of its values: what it says anyway."""

    needs = frozenset({"attention"})

    def other(self, context):
        attention = context.attention
        return (attention.weights @ attention.values).transpose(1, 2).flatten(2)
