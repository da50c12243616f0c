"""What a paid scorer would cost: shown, and agreed to before anything is asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from headprune.cli.output import table
from headprune.errors import HeadpruneError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from headprune.cli.output import Output
    from headprune.types import Expense


def expense_table(expense: Expense) -> RenderableType:
    """What is asked of whom, and what for."""
    cost = "unknown: the scorer was given no prices" if expense.cost is None else f"about {expense.cost:,.2f}"
    rows = [
        ("asks", expense.service),
        ("calls", f"at most {expense.calls:,}, fewer where answers are stored"),
        ("repeats", f"up to {expense.repeats} more of a call whose answer is of no use"),
        ("tokens", f"about {expense.tokens_in:,} in, {expense.tokens_out:,} out"),
        ("cost", cost),
    ]
    return table("what the scorer would cost", ("", ""), rows, left=2)


def agree(output: Output, expense: Expense | None, yes: bool, dry_run: bool = False) -> None:
    """See that the user agrees to what is paid; where nothing is, or with --yes, nobody is asked.

    Args:
        dry_run: whether the command has a --dry-run, which says more.

    Raises:
        UsageError: there is no terminal to ask on. HeadpruneError: the user does not agree.
    """
    if expense is None:
        return
    cost = "at an unknown cost" if expense.cost is None else f"for about {expense.cost:,.2f}"
    what = f"up to {expense.calls:,} calls of {expense.service}, about {expense.tokens_in:,} tokens, {cost}"
    if yes:
        output.note(what)
        return
    if not on_terminal():
        raise UsageError(f"this makes {what}", f"--yes agrees to it{'; --dry-run says more' if dry_run else ''}")
    try:
        agreed = typer.confirm(f"This makes {what}. Go on?", err=True)
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    if not agreed:
        raise HeadpruneError(
            "not agreed to: nothing was asked, nothing was paid",
            "--dry-run says what it would cost" if dry_run else "a scorer that asks nobody is free",
        )


def on_terminal() -> bool:
    """Whether somebody sees a question, and can answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()
