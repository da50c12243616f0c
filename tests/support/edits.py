"""Edits that need what METHOD.md's own do not."""

from __future__ import annotations

from typing import ClassVar

from headprune import Comparable, Edit, replaced


class _Put(Edit):
    """Another output in the place of head h's own."""

    comparable = Comparable.ACROSS
    removes = True
    neutral: ClassVar = {}

    def variants(self, capture, heads, context):
        return replaced(capture, heads, context.heads, self.other(context))


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
