"""How far a run is: a bar with captions, samples and time left on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headprune.cli.output import Output

if TYPE_CHECKING:
    from rich.progress import Progress

    from headprune.events import Progress as Step

# Seconds between plain lines: a log file of an hour's run stays readable.
_PLAIN_EVERY = 10.0


@contextmanager
def scoring_progress(output: Output) -> Iterator[Callable[[Step], None]]:
    """A function that shows the steps of `score_heads`."""
    if output.quiet:
        yield lambda step: None
    elif output.stderr.is_terminal:
        with _bar(output) as bar:
            tasks = {}

            def show(step: Step) -> None:
                if step.stage not in tasks:
                    tasks[step.stage] = bar.add_task(step.stage, total=step.total, sample=_sample(step))
                bar.update(tasks[step.stage], completed=step.done, sample=_sample(step))

            yield show
    else:
        yield _plain_lines(output)


def _bar(output: Output) -> Progress:
    from rich import progress as p

    columns = (
        p.TextColumn("{task.description}"),
        p.BarColumn(),
        p.MofNCompleteColumn(),
        p.TextColumn("[dim]sample {task.fields[sample]}[/]"),
        p.TimeElapsedColumn(),
        p.TimeRemainingColumn(),
    )
    return p.Progress(*columns, console=output.stderr, transient=True)


def _plain_lines(output: Output) -> Callable[[Step], None]:
    last: dict[str, float] = {}

    def show(step: Step) -> None:
        now = time.monotonic()
        if step.done == step.total or now - last.get(step.stage, -_PLAIN_EVERY) >= _PLAIN_EVERY:
            last[step.stage] = now
            output.stderr.print(f"{step.stage}: {step.done} of {step.total}, sample {_sample(step)}", soft_wrap=True)

    return show


def _sample(step: Step) -> str:
    done = step.done * step.samples // step.total if step.total else step.samples
    return f"{done}/{step.samples}"


@contextmanager
def stage_progress(output: Output) -> Iterator[Callable[[str], None]]:
    """A function that shows the name of the stage a command is in."""
    if output.quiet:
        yield lambda stage: None
    elif output.stderr.is_terminal:
        with output.stderr.status("loading") as status:
            yield status.update
    else:
        yield output.stderr.print
