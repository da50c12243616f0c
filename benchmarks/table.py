"""Results as people read them: tables for the terminal, the same for a Markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.results import RATIOS, Row, Section

COLUMNS = ("who", "median", "min to max", "ratio", "target", "reached")


def show(console: Console, section: Section) -> None:
    """One section on the terminal."""
    console.print(f"\n[bold]{section.title}[/bold]")
    for setting, rows in groupby(section.rows, key=lambda row: row.setting):
        table = Table(*COLUMNS, title=setting, title_justify="left")
        for row in rows:
            table.add_row(*cells(row))
        console.print(table)
    for note in section.notes:
        console.print(f"- {note}", highlight=False, markup=False)


def markdown(machine: Mapping[str, Any], sections: Sequence[Section], how: str) -> str:
    """All sections as Markdown, the command and the machine first."""
    known = ", ".join(f"{name} {value}" for name, value in machine.items() if value is not None)
    lines = [f"`{how}`; {known}. Medians; {RATIOS}.", ""]
    for section in sections:
        lines += [f"**{section.title}**", ""]
        if section.rows:
            lines += [_line(("setting", *COLUMNS)), "|---" * (1 + len(COLUMNS)) + "|"]
        for setting, rows in groupby(section.rows, key=lambda row: row.setting):
            # A setting is named once.
            named = [setting, *[""] * len(section.rows)]
            lines += [_line((name, *cells(row))) for name, row in zip(named, rows, strict=False)]
        lines += ["", *(f"- {note}" for note in section.notes), ""]
    return "\n".join(lines)


def cells(row: Row) -> tuple[str, ...]:
    """A row in words, one for each of COLUMNS."""
    verdict = {None: "", True: "reached", False: "not reached"}[row.reached]
    return (
        row.name,
        f"{number(row.median)} {row.unit}",
        f"{number(min(row.values))} to {number(max(row.values))}",
        "" if row.against is None or row.ratio is None else f"{number(row.ratio)} x {short(row.against)}",
        "" if row.target is None else str(row.target),
        verdict,
    )


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def short(name: str) -> str:
    """A contestant's name up to its explanation."""
    return name.partition(":")[0]


def _line(words: Sequence[str]) -> str:
    return "| " + " | ".join(words) + " |"
