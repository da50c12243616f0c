"""What a measurement is, in numbers: values of interleaved rounds, their median, their spread, their ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

RATIOS = "rounds were interleaved; a ratio is the median over rounds of the ratio within a round"

Values = Mapping[str, Sequence[float]]
"""Contestant -> one value a round; the rounds of all contestants were interleaved."""


@dataclass(frozen=True)
class Target:
    """A bound on a ratio: at most `bound`, or at least where `least` is set."""

    bound: float
    least: bool = False

    def __str__(self) -> str:
        return f"{'>=' if self.least else '<='} {self.bound:.2f}"

    def reached(self, ratio: float) -> bool:
        """Whether a measured ratio keeps the bound."""
        return ratio >= self.bound if self.least else ratio <= self.bound


@dataclass(frozen=True)
class Row:
    """One contestant under one setting.

    Attributes:
        setting: what was done (`64 pictures, decoded at layer`).
        name: who did it.
        values: one a round.
        unit: of the values: `s`, `MiB`, `pairs/s`.
        against: whom it is compared with; None for nobody.
        ratio: the median over rounds of this value divided by that of `against` in the same round.
        target: what the ratio should be.
    """

    setting: str
    name: str
    values: tuple[float, ...]
    unit: str
    against: str | None = None
    ratio: float | None = None
    target: Target | None = None

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None where there is none."""
        return None if self.target is None or self.ratio is None else self.target.reached(self.ratio)

    def document(self) -> dict[str, Any]:
        """The row as JSON."""
        return {
            "setting": self.setting,
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "min": min(self.values),
            "max": max(self.values),
            "values": list(self.values),
            "against": self.against,
            "ratio": self.ratio,
            "target": None if self.target is None else str(self.target),
            "reached": self.reached,
        }


@dataclass(frozen=True)
class Section:
    """One question, its rows, and what has to be known to read them."""

    name: str
    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The section as JSON."""
        return {
            "section": self.name,
            "title": self.title,
            "notes": list(self.notes),
            "rows": [row.document() for row in self.rows],
        }


def compared(setting: str, values: Values, unit: str, against: Mapping[str, tuple[str, Target | None]]) -> list[Row]:
    """Rows of one setting.

    Args:
        setting: what was done.
        values: of every contestant.
        unit: of the values.
        against: contestant -> (whom to divide by, round by round, and the target of that ratio); others stand alone.
    """
    rows = []
    for name, own in values.items():
        if name not in against:
            rows.append(Row(setting, name, tuple(own), unit))
            continue
        other, target = against[name]
        ratio = median(a / b for a, b in zip(own, values[other], strict=True))
        rows.append(Row(setting, name, tuple(own), unit, other, ratio, target))
    return rows
