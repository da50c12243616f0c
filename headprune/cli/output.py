"""The one sink: results on stdout, everything else on stderr, errors worded once, exit codes from the errors.

rich is imported where something is printed: `headprune --help` starts without it.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

import typer

from headprune.errors import ExitCode, HeadpruneError, Notice, PluginError
from headprune.files import cannot_write
from headprune.redact import redacted

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from headprune.types import Interval


def _console(stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


@dataclass
class Output:
    """Where a command's words go.

    Attributes:
        json: one JSON document on stdout in place of tables.
        quiet: notes and progress are left out.
    """

    json: bool
    quiet: bool
    stdout: Console = field(default_factory=lambda: _console(stderr=False))
    stderr: Console = field(default_factory=lambda: _console(stderr=True))

    def result(self, document: Any, show: Callable[[Console], None]) -> None:
        """The command's result: `document` under --json, else whatever `show` prints to stdout."""
        if self.json:
            print(json.dumps(document, indent=2, allow_nan=False))
        else:
            show(self.stdout)

    def wrote(self, what: str, path: object) -> None:
        """Say what was written; on stderr, so that stdout holds results only."""
        if not self.quiet:
            self.stderr.print(f"wrote {what}: {shown(str(path))}", soft_wrap=True)

    def note(self, message: str) -> None:
        """Something the user should know."""
        if not self.quiet:
            self.stderr.print(f"[yellow]note:[/] {shown(message)}", soft_wrap=True)

    def error(self, message: str, hint: str) -> None:
        """What went wrong, and what to do next."""
        self.stderr.print(f"[bold red]error:[/] {shown(message)}", soft_wrap=True)
        if hint:
            self.stderr.print(f"  [dim]next:[/] {shown(hint)}", soft_wrap=True)


@contextmanager
def reporting(as_json: bool, quiet: bool, debug: bool) -> Iterator[Output]:
    """Run a command: notices become notes, errors become a line, a hint and an exit code.

    Raises:
        typer.Exit: on any error; --debug shows its traceback first.
    """
    output = Output(as_json, quiet)
    _calm_libraries(quiet)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", Notice)
        warnings.showwarning = _shown_as_note(output)
        try:
            yield output
        except HeadpruneError as error:
            output.error(error.message, error.hint)
            _end(error, error.exit_code, debug)
        except KeyboardInterrupt as error:
            # What can be gone on with says how.
            output.error("interrupted", str(error) or "given again, this command begins anew")
            _end(error, ExitCode.INTERRUPTED, debug)
        except typer.Exit:
            raise
        except BrokenPipeError:
            # Whoever read our results has seen enough (`| head`); Python would complain once more when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(int(ExitCode.FAILED)) from None
        # The last line of defence: a bug of ours is said to be one, and its traceback is a flag away.
        except Exception as error:
            worded = cannot_write("a file", error) or _plugins_fault(error)
            message = worded.message if worded else f"{type(error).__name__}: {error}"
            output.error(message, worded.hint if worded else "this is a bug in headprune; --debug shows where")
            _end(error, worded.exit_code if worded else ExitCode.FAILED, debug)


def _plugins_fault(error: Exception) -> PluginError | None:
    """The error as a plugin's, where it came through code that did not come with headprune."""
    from headprune.hooks.blame import outsider
    from headprune.hooks.catalogue import catalogue

    where = outsider(error, catalogue().packages())
    if not where:
        return None
    return PluginError(f"plugin code failed at {where}: {type(error).__name__}: {error}", "mend it there; --debug")


def _end(error: BaseException, code: ExitCode, debug: bool) -> None:
    if debug:
        print(redacted("".join(traceback.format_exception(error))), file=sys.stderr, end="")
    raise typer.Exit(int(code)) from None


def _shown_as_note(output: Output) -> Any:
    said: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, Notice) and str(message) not in said:
            said.add(str(message))
            output.note(str(message))

    return show


def _calm_libraries(quiet: bool) -> None:
    """Libraries' own chatter off; their bars only where somebody watches, and waits."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if quiet or not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    # A download or a large model gets its bar, a small one is there before anybody has read it.
    os.environ.setdefault("TQDM_DELAY", "2")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> RenderableType:
    """A plain table; all but the first `left` columns are right-aligned."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, show_header=any(columns), header_style="dim")
    for index, column in enumerate(columns):
        made.add_column(escape(column), justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        made.add_row(*map(shown, row))
    # The title is a line of its own: a table's would be folded to its width.
    return Group(Text(title, style="bold"), made) if title else made


NOTHING = "(says nothing)"
"""In the place of an empty caption."""


def interval(values: Interval, form: str) -> str:
    """A mean with its 95 % limits: 0.512 [0.430, 0.594]."""
    return f"{values.mean:{form}} [{values.low:{form}}, {values.high:{form}}]"


def numbers(array: Any) -> Any:
    """A numpy array as nested lists, null where a number is unset: JSON has no NaN."""
    listed = array.tolist() if hasattr(array, "tolist") else array
    if isinstance(listed, list):
        return [numbers(part) for part in listed]
    return None if isinstance(listed, float) and math.isnan(listed) else listed


def shown(text: str) -> str:
    """Text that someone else wrote, made safe for a terminal: no keys, no markup, no control characters."""
    from rich.markup import escape

    plain = (character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in redacted(text))
    return escape("".join(plain))
