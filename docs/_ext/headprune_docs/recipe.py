"""Every setting of a recipe, from the pydantic models that check it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_origin

from pydantic import BaseModel

from headprune.recipes.schema import Recipe
from headprune_docs.fields import fields
from headprune_docs.rst import directive, page, prose, section

_INTRODUCTION = """\
A recipe holds every setting of a run in a TOML file: ``headprune score --recipe FILE``. What is given on the command
line wins. ``headprune recipe check FILE`` shows every setting with where it comes from, ``headprune recipe schema``
prints the schema for an editor. Text is quoted, as everywhere in TOML; unknown keys are refused."""


def tables(model: type[BaseModel] = Recipe, name: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The recipe's tables by their dotted names, the recipe itself first, by none."""
    yield name, model
    for key, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, BaseModel):
            yield from tables(kind, f"{name}.{key}".lstrip("."))


def recipe_pages() -> dict[str, str]:
    """One page."""
    (_, top), *below = tables()
    sections = [section(f"[{name}]", prose(table.__doc__ or ""), *_settings(name, table)) for name, table in below]
    return {"recipe.rst": page("Recipes", _INTRODUCTION, *_settings("", top), *sections)}


def _settings(name: str, table: type[BaseModel]) -> Iterator[str]:
    own = {key for dotted, _ in tables(table) if (key := dotted.partition(".")[0])}
    for field in fields(table, {}):
        if field.name not in own:
            dotted = f"{name}.{field.name}".lstrip(".")
            yield directive("confval", dotted, prose(field.description), type=field.type, default=field.default)
