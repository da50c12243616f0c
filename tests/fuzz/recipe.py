"""The recipe reader: any bytes are a recipe that is written and read again equal, or are refused."""

from __future__ import annotations

from pathlib import Path

from headprune.errors import HeadpruneError
from headprune.recipes import dumps, resolve
from headprune.recipes.layers import parse_layers


def fuzzed(data: bytes, folder: Path) -> None:
    """Read a recipe from `folder`, as one whose plugin files are trusted and as one whose are not."""
    file = folder / "recipe.toml"
    file.write_bytes(data)
    for trusted in (False, True):
        try:
            recipe = resolve(file, {}, trusted).recipe
        except HeadpruneError:
            continue
        again = folder / "again.toml"
        again.write_text(dumps(recipe), encoding="utf-8")
        assert resolve(again, {}, trusted).recipe == recipe
        try:
            layers = parse_layers(recipe.layers, 12)
        except HeadpruneError:
            continue
        assert layers and set(layers) <= set(range(12))
