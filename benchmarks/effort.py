"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """`rounds` of everything; `quick` takes tiny numbers, to see that all runs and agrees, not to learn a time."""

    rounds: int
    quick: bool
