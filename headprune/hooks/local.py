"""Single-file plugins: `./my_scorer.py:Class`, run only because the user named the file."""

from __future__ import annotations

import hashlib
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from headprune.errors import PluginError

_LOCAL = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)")


def is_local(name: str) -> bool:
    """Whether `name` is a file and a class in it rather than the name of an installed plugin."""
    return _LOCAL.fullmatch(name) is not None or name.endswith(".py")


def load_local(name: str) -> Any:
    """Import the file and return the class.

    Raises:
        PluginError: the file is not there, fails to import (the line is named), or has no such class.
    """
    match = _LOCAL.fullmatch(name)
    if match is None:
        raise PluginError(f"{name!r} names a file but no class", f"write {name}:ClassName")
    path = Path(match["path"]).resolve()
    if not path.is_file():
        raise PluginError(f"plugin file {path} is not there", "give the path of a Python file, then :ClassName")
    module_name = f"headprune_local_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = spec_from_file_location(module_name, path)
        assert spec is not None and spec.loader is not None
        module = sys.modules[module_name] = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        # The file is the user's: any error of it is reported with its line, an attempt to end the process too.
        except (Exception, SystemExit) as error:
            del sys.modules[module_name]
            raise PluginError(
                f"{path.name}{_line_of(error, path)}: {type(error).__name__}: {error}", "mend the file"
            ) from error
    try:
        return getattr(module, match["name"])
    except AttributeError:
        raise PluginError(f"{path.name} has no {match['name']}", "check the name after the colon") from None


def _line_of(error: BaseException, path: Path) -> str:
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" line {line}" if line else ""
