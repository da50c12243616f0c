"""Single-file plugins: `./my_scorer.py:Class`, run only because the user named the file."""

from __future__ import annotations

import hashlib
import re
import sys
from contextlib import redirect_stdout
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from headprune.errors import PluginError
from headprune.hooks.blame import Aside, at_import, where_raised
from headprune.hooks.manager import check_version

_LOCAL = re.compile(r"(?P<path>.+\.py):(?P<name>[A-Za-z_]\w*)")


def is_local(name: str) -> bool:
    """Whether `name` is a file and a class in it rather than the name of an installed plugin."""
    return _LOCAL.fullmatch(name) is not None or name.endswith(".py")


def recorded_name(name: str) -> str:
    """A plugin's name for records: of a file its name and class, wherever it lies and however it was typed. Which file
    it was its sha256 tells."""
    return Path(name).name if is_local(name) else name


class _Uncached(SourceFileLoader):
    """Reads the file as it is: Python's cache tells its versions apart by the second only, and litters its folder."""

    def path_stats(self, path: Any) -> Any:
        raise OSError


def load_local(name: str) -> Any:
    """Import the file and return the class.

    Raises:
        PluginError: the file is not there, fails to import (the line is named), or has no such class.
    """
    path, attribute = _parted(name)
    # By its content as well: a file that was changed is another module, in a notebook as in a new process.
    known = hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:8]
    module_name = f"headprune_local_{path.stem}_{known}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = spec_from_file_location(module_name, path, loader=_Uncached(module_name, str(path)))
        assert spec is not None and spec.loader is not None
        module = sys.modules[module_name] = module_from_spec(spec)
        try:
            with redirect_stdout(Aside(path.name)):
                spec.loader.exec_module(module)
            check_version(module)
        # The file is the user's: any error of it is reported with its line, an attempt to end the process too.
        except (Exception, SystemExit) as error:
            del sys.modules[module_name]
            where = where_raised(error, module)
            raise PluginError(f"{where}: {type(error).__name__}: {error}", f"mend {path}") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        own = [one for one, value in vars(module).items() if getattr(value, "__module__", "") == module_name]
        has = f"it has {', '.join(own)}" if own else "it has no class"
        raise PluginError(f"{path.name} has no {attribute}", has) from None


def local_digest(name: str) -> str:
    """sha256 of the file, in hex. Raises as `load_local` does where it is not there."""
    return hashlib.sha256(_parted(name)[0].read_bytes()).hexdigest()


def _parted(name: str) -> tuple[Path, str]:
    """The file, which is there, and the name after it."""
    match = _LOCAL.fullmatch(name)
    if match is None:
        raise PluginError(f"{name!r} names a file but no class", f"write {name}:ClassName")
    path = Path(match["path"]).expanduser().resolve()
    if not path.is_file():
        raise PluginError(f"plugin file {path} is not there", "give the path of a Python file, then :ClassName")
    return path, match["name"]


def imported(target: str, plugin: str) -> Any:
    """What an installed plugin's `package.module:Class` names.

    Args:
        plugin: what messages call it.

    Raises:
        PluginError: the module is not there, fails to import (its line is named), or has no such class.
    """
    name, _, attribute = target.partition(":")
    try:
        with redirect_stdout(Aside(plugin)):
            module = import_module(name)
        return getattr(module, attribute)
    # Whatever the import raises is the plugin's fault, and is said to be.
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{plugin} cannot be imported from {target}{at_import(error, name)}: {type(error).__name__}: {error}",
            f"a fault of the package {name.partition('.')[0]}; --debug shows the traceback",
        ) from error
