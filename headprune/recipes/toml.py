"""Recipe files: TOML, read with each mistake named by its key, table and line."""

from __future__ import annotations

import difflib
import os
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headprune.errors import UsageError
from headprune.files import TooLarge, read_limited
from headprune.hooks.local import is_local
from headprune.recipes.schema import Recipe, Table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

Values = dict[str, Any]
"""A recipe's settings as nested tables, not all of them given."""
LARGEST = 2**18
"""Bytes that a recipe may have; one with every setting has some 2,000."""
DEEPEST = 16
_MOST_DOTS = 1000
_LONGEST_NUMBER = 1024
_LONGEST_SAID = 200


def read_values(path: str | Path) -> Values:
    """What a recipe file gives, checked, with paths that begin with `./` or `../` taken from the file's folder.

    It may leave out the model, and may say what needs trust: whoever uses it decides (`refuse_untrusted`).

    Raises:
        UsageError: the file cannot be read, or holds a mistake.
    """
    text = _text(path)
    values = _parsed(text, path)
    for found in _keys_named("trust_remote_code", values):
        where = _where(text, found, str(path))
        raise UsageError(f"{where}: trust_remote_code cannot be set from a recipe", "set it on the command line")
    try:
        Recipe.model_validate({"model": "to be named"} | values)
    except ValidationError as error:
        raise usage_error(error, str(path), text) from error
    folder = Path(path).absolute().parent
    return plugins_anchored(anchored(values, folder), folder)


def _text(path: str | Path) -> str:
    try:
        # As text is read: \r\n and \r are \n.
        return re.sub("\r\n?", "\n", read_limited(Path(path), LARGEST).decode())
    except TooLarge as error:
        raise UsageError(f"recipe {path} is none: {error}", "name a recipe, a TOML file") from error
    except OSError as error:
        raise UsageError(f"recipe {path} cannot be read: {error.strerror}", "check the path") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"recipe {path} is not UTF-8", "save the file as UTF-8") from error


def _parsed(text: str, path: str | Path) -> Values:
    # The parser takes time by the square of a dotted key's parts: so no recipe takes it more than some 2 seconds.
    crowded = next((number for number, line in enumerate(text.splitlines(), 1) if line.count(".") > _MOST_DOTS), None)
    if crowded:
        raise UsageError(f"{path} line {crowded} has more than {_MOST_DOTS} dots", "a text may stand on several lines")
    try:
        values: Values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"recipe {path} is no TOML: {short(str(error))}", "see https://toml.io") from error
    except RecursionError as error:
        raise UsageError(
            f"recipe {path} is nested too deep", f"{DEEPEST} tables and lists in one another are read"
        ) from error
    except ValueError as error:  # Python reads no number of more than 4,300 digits
        raise UsageError(f"recipe {path}: {short(str(error))}", "write a smaller number") from error
    refuse_odd(values, f"recipe {path}")
    return values


def refuse_odd(value: Any, source: str, depth: int = 0) -> None:
    """Refuse what no setting needs and others would stumble over: deep nesting, huge numbers, the end of a C string.

    Raises:
        UsageError: there is some.
    """
    if depth > DEEPEST:
        raise UsageError(f"{source} is nested too deep", f"{DEEPEST} tables and lists in one another are read")
    if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
        raise UsageError(f"{source} holds a number of more than {_LONGEST_NUMBER} bits", "write a smaller one")
    if isinstance(value, str) and "\0" in value:
        raise UsageError(f"{source} holds a text with a NUL character", "leave it out")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        refuse_odd(part, source, depth + 1)


def short(text: str) -> str:
    """One line that can be read, of something that somebody else wrote."""
    return text if len(text) <= _LONGEST_SAID else f"{text[:_LONGEST_SAID]} ..."


PLUGINS = (
    *(("adapter",), ("dataset",), ("scorer",), ("edit",), ("listener",)),
    *(("evaluate", "scorer"), ("evaluate", "convergence_scorer")),
)
"""The settings that name a plugin: by its name, or as `./file.py:Class`."""


def plugins_anchored(values: Values, folder: Path, path: tuple[str, ...] = ()) -> Values:
    """`values` with the files of plugins made absolute, from `folder`."""
    changed = {}
    for key, value in values.items():
        place = (*path, key)
        if isinstance(value, dict):
            value = plugins_anchored(value, folder, place)
        elif place in PLUGINS and isinstance(value, str) and is_local(value):
            value = str((folder / os.path.expanduser(value)).resolve())  # noqa: PTH111 - Path's fails for no such user
        changed[key] = value
    return changed


def anchored(values: Values, folder: Path) -> Values:
    """`values` with what begins with `./` or `../` in `model`, `data` and the options made absolute, from `folder`.

    Anything else stays as typed: a name, a hub's `owner/name` and a folder cannot be told apart here.
    """
    changed: Values = {}
    for key, value in values.items():
        if isinstance(value, dict):
            parts = _texts_anchored(value, folder) if key.endswith("_options") else value
            changed[key] = anchored(parts, folder)
        else:
            # Of the same name there may be an option, which is anything.
            named = key in ("model", "data", "means_data") and isinstance(value, str)
            changed[key] = _anchor(value, folder) if named else value
    return changed


def _texts_anchored(options: Values, folder: Path) -> Values:
    return {name: _anchor(value, folder) if isinstance(value, str) else value for name, value in options.items()}


def _anchor(text: str, folder: Path) -> str:
    """`coco:./captions.json:../images` has two paths: each begins the text or follows a colon."""
    return re.sub(r"(?:^|(?<=:))\.{1,2}/[^:]*", lambda path: str((folder / path[0]).resolve()), text)


def usage_error(error: ValidationError, source: str, text: str = "") -> UsageError:
    """Word the first mistake: the key, its table, its line where `text` is the file, and what is near it."""
    first = error.errors()[0]
    table: type[Table] = Recipe
    path: list[str] = []
    for part in first["loc"]:
        path.append(str(part))
        field = table.model_fields.get(str(part))
        kind = field.annotation if field else None
        if not (isinstance(kind, type) and issubclass(kind, Table)):
            break
        table = kind
    key, named = path[-1], ".".join(path)
    if first["type"] == "missing":
        return UsageError(
            f"{source}: no {named} is named", f"give one on the command line, or write {named} = ... there"
        )
    where = _where(text, tuple(path), source)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, table.model_fields, n=1)
        place = f"[{'.'.join(path[:-1])}]" if path[:-1] else "the top table"
        hint = f"did you mean {near[0]}?" if near else f"known there: {', '.join(table.model_fields)}"
        return UsageError(f"{where}: unknown key {short(repr(key))} in {short(place)}", hint)
    message = first["msg"].removeprefix("Value error, ")
    return UsageError(f"{where}: {short(named)}: {short(message)}", f"it is {short(repr(first['input']))}")


def _where(text: str, path: tuple[str, ...], source: str) -> str:
    """`source` with the line that sets `path`, where a plain search finds it."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        found = re.match(r"""(\[)?([\w."' -]+)(?(1)\]|=)""", line.strip())
        if found:
            name = tuple(part.strip(" \"'") for part in found[2].split("."))
            table = name if found[1] else table
            if path == (name if found[1] else (*table, *name)):
                return f"{source} line {number}"
    return source


def _keys_named(name: str, values: Values, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where `name` is a key, at any depth of tables."""
    found = [(*path, name)] if name in values else []
    for key, value in values.items():
        if isinstance(value, dict):
            found += _keys_named(name, value, (*path, key))
    return found
