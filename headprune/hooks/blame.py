"""Whose fault it is: what a plugin's code raises is said to be the plugin's, with its file and line."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from io import TextIOBase
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from headprune.errors import HeadpruneError, PluginError, notice


@contextmanager
def blaming(plugin: str, culprit: object) -> Iterator[None]:
    """Run a plugin's code. What it prints to stdout, where results go, goes to stderr.

    Args:
        plugin: what messages call it (`scorer Brevity`).
        culprit: the plugin's class, an object of it, or its module: where its code lies.

    Raises:
        PluginError: in place of whatever the code raised; errors of ours, which plugins raise on purpose, pass.
    """
    try:
        with redirect_stdout(Aside(plugin)):
            yield
    except HeadpruneError:
        raise
    # A plugin may raise anything at all, or end the process; it is chained, so that --debug shows how it came to that.
    except (Exception, SystemExit) as error:
        reason = f"{plugin} failed{_at(where_raised(error, culprit))}: {type(error).__name__}: {error}"
        raise PluginError(reason, f"a fault of {owner(culprit)}: mend it there; --debug shows the traceback") from error


def where_raised(error: BaseException, culprit: object) -> str:
    """`file.py line 3`: the innermost line of the culprit's own code that the error came through; where it came through
    none (it was called with what it does not take), where the culprit is defined."""
    return line_in(error, culprit) or place(culprit)


def line_in(error: BaseException, culprit: object) -> str:
    """`file.py line 3`: as `where_raised`; "" where the error came through none of the culprit's lines."""
    home = _file_of(culprit)
    if home is None:
        return ""
    # A package of modules is one culprit; a file that stands alone has neighbours that are not it.
    within = home.parent if (home.parent / "__init__.py").is_file() else home
    return _innermost(error, [within])


def at_import(error: BaseException, module: str) -> str:
    """` at file.py line 3`: as `where_raised`, for an import of `module` that failed; "" where it came through none of
    its package's lines."""
    try:
        found = find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return ""
    homes = [*(found.submodule_search_locations or [found.origin or ""])] if found else []
    return _at(_innermost(error, [Path(home).resolve() for home in homes if home]))


def place(culprit: Any) -> str:
    """`file.py line 3`: where a class (or that of an object), a function or a module is defined; "" if none knows."""
    home = _file_of(culprit)
    if home is None or isinstance(culprit, ModuleType):
        return home.name if home else ""
    try:
        return f"{home.name} line {inspect.getsourcelines(_defined(culprit))[1]}"
    except (OSError, TypeError):
        return home.name


def owner(culprit: object) -> str:
    """The file or the package that the culprit's code came with, for a human."""
    home = _file_of(culprit)
    defined = _defined(culprit)
    module = str(defined.__name__ if isinstance(defined, ModuleType) else defined.__module__)
    if home is None or module.startswith("headprune_local_"):
        return str(home or "that plugin")
    return f"the package {module.partition('.')[0]}"


def outsider(error: BaseException, packages: Collection[str]) -> str:
    """`file.py line 3`: the innermost line of a plugin's that the error came through, of a single file's or of one of
    `packages` (top-level names); "" where it came through none.

    For errors that were raised where no plugin was asked for anything in particular: in an adapter's model, in a hook.
    """
    found = ""
    trace = error.__traceback__
    while trace is not None:
        top = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if top.startswith("headprune_local_") or top in packages:
            found = f"{Path(trace.tb_frame.f_code.co_filename).name} line {trace.tb_lineno}"
        trace = trace.tb_next
    return found


class Aside(TextIOBase):
    """stdout while a plugin's code runs: passes on to stderr, and says so."""

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin

    def write(self, text: str) -> int:
        if text.strip():
            notice(f"{self._plugin} prints to stdout, where results go: it is shown here")
        return sys.stderr.write(text)

    def fileno(self) -> int:
        return sys.stderr.fileno()


def _innermost(error: BaseException, homes: Sequence[Path]) -> str:
    """`file.py line 3` of the last line that lies in one of these files and folders."""
    lines = list(_lines(error.__traceback__))
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((Path(error.filename).resolve(), error.lineno or 1))
    own = [(path, line) for path, line in lines if any(path == home or home in path.parents for home in homes)]
    return f"{own[-1][0].name} line {own[-1][1]}" if own else ""


def _at(where: str) -> str:
    return f" at {where}" if where else ""


def _defined(culprit: Any) -> Any:
    if inspect.isclass(culprit) or inspect.isfunction(culprit) or isinstance(culprit, ModuleType):
        return culprit
    return type(culprit)


def _file_of(culprit: Any) -> Path | None:
    try:
        return Path(inspect.getfile(_defined(culprit))).resolve()
    except (TypeError, OSError):
        return None


def _lines(trace: TracebackType | None) -> Iterator[tuple[Path, int]]:
    while trace is not None:
        yield Path(trace.tb_frame.f_code.co_filename).resolve(), trace.tb_lineno
        trace = trace.tb_next
