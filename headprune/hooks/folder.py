"""The user's own folder of single-file plugins: each class in it is offered under its name, and nothing is run until it
is asked for."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from headprune.hooks.manager import Plugin
from headprune.hooks.specs import AdapterSpec, DatasetSpec, EditSpec, ListenerSpec, ScorerSpec, Spec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

FOLDER = "HEADPRUNE_PLUGINS"
_BASES: dict[str, type[Spec]] = {
    **dict.fromkeys(("Scorer", "LayerRater", "LogitScorer", "GradientScorer"), ScorerSpec),
    **dict.fromkeys(("Edit", "CoefficientEdit"), EditSpec),
    "Backend": AdapterSpec,
    "DatasetReader": DatasetSpec,
    "Listener": ListenerSpec,
}


def folder_plugins() -> list[Plugin]:
    """The files of the folder that HEADPRUNE_PLUGINS names, or else `plugins = "..."` in the user's config file
    (`~/.config/headprune/config.toml`); none where neither names one.

    A class `TwoWords(headprune.Scorer)` is offered as `two-words`, with the first line of its docstring. Files are
    read, not run; one whose name begins with `_` is left out. What is wrong with config, folder or a file is in
    `broken`.
    """
    named = os.environ.get(FOLDER)
    if named is None:
        config = _config_file()
        try:
            named = _configured(config)
        except (OSError, ValueError) as error:
            return [Plugin("config", str(config), "?", broken=f"{type(error).__name__}: {error}")]
    if not named:
        return []
    folder = Path(named).expanduser()
    if not folder.is_dir():
        reason = f"there is no folder {folder.absolute()}; {FOLDER}, or the config, names it"
        return [Plugin("folder", str(folder), "?", broken=reason)]
    return [_read(path) for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")]


def _config_file() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "headprune" / "config.toml"


def _configured(config: Path) -> str:
    """The folder that the config file names.

    Raises:
        OSError, ValueError: the file cannot be read, is no TOML, or holds something else.
    """
    if not config.is_file():
        return ""
    values = tomllib.loads(config.read_text(encoding="utf-8"))
    other = sorted(values.keys() - {"plugins"})
    if other:
        raise ValueError(f"unknown key {other[0]!r}; known: plugins")
    if not isinstance(values.get("plugins", ""), str):
        raise ValueError('plugins must be a folder\'s path: plugins = "~/headprune-plugins"')
    folder = Path(str(values.get("plugins", ""))).expanduser()
    return str(config.parent / folder) if values.get("plugins") else ""


def _read(path: Path) -> Plugin:
    """What one file offers."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) else ""
        return Plugin(path.stem, str(path), "-", broken=f"{path.name}{line}: {type(error).__name__}: {error}")
    offered = tuple(_offered(tree, path.resolve()))
    kinds = ", ".join(_BASES)
    broken = "" if offered else f"{path.name} has no class that is a {kinds}; a name with _ before it is left out"
    return Plugin(path.stem, str(path), "-", offered, broken)


def _offered(tree: ast.Module, path: Path) -> Iterator[Spec]:
    """A spec for each public class of the file whose base, or whose base's base in the file, is of a kind."""
    kinds = dict(_BASES)
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        found = [kinds[name] for name in map(_last_name, node.bases) if name in kinds]
        if not found:
            continue
        kinds[node.name] = found[0]
        if not node.name.startswith("_"):
            summary = (ast.get_docstring(node) or "").partition("\n")[0]
            yield found[0](_kebab(node.name), f"{path}:{node.name}", summary or f"from {path.name}")


def _last_name(base: ast.expr) -> str:
    """`Scorer` of `Scorer` and of `headprune.Scorer`."""
    return base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()
