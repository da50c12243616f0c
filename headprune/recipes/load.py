"""From a recipe file and a command line to one recipe, with the source of each setting; and back into a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError

from headprune.files import writing
from headprune.hooks.local import is_local
from headprune.recipes.schema import Recipe
from headprune.recipes.toml import Values, anchored, plugins_anchored, read_values, refuse_odd, usage_error
from headprune.recipes.trust import refuse_untrusted

# A plugin's options are written for that plugin: when the command line names another one, they are not for it.
_OWNER_OF = {
    "scorer_options": "scorer",
    "edit_options": "edit",
    "listener_options": "listener",
    "dataset_options": "data",
    "convergence_options": "convergence_scorer",
}


@dataclass(frozen=True)
class Resolved:
    """A recipe whose every setting is settled.

    Attributes:
        recipe: the settings.
        sources: where each came from, by its dotted name: "default", "demo", "recipe" or "command line".
        notes: what the user should be told about it, a line each.
    """

    recipe: Recipe
    sources: dict[str, str]
    notes: tuple[str, ...] = ()


def resolve(
    recipe_file: str | Path | None, overrides: Mapping[str, Any], allow_local_plugins: bool = False
) -> Resolved:
    """Settle every setting: defaults, then the demo's defaults, then the recipe file, then the command line.

    Paths that begin with `./` or `../` are taken from the recipe file's folder, on the command line from the current
    one; other text stays as typed. Options of a plugin are merged key by key, unless the command line names another
    plugin: then the recipe's options for the first one are dropped, with a note. A plugin's file on the command line
    stays as typed; one in a recipe is taken from the recipe's folder.

    Args:
        recipe_file: a TOML file, or None.
        overrides: what the command line gave, nested like a recipe; None stands for what it did not give.
        allow_local_plugins: whether the recipe is trusted: it may then name files with plugins, whose code runs, and
            set a plugin's `personal` options.

    Raises:
        UsageError: a setting is unknown, missing or wrong, or the recipe says what needs trust.
    """
    notes: list[str] = []
    typed = _given(overrides)
    refuse_odd(typed, "the command line")
    typed = anchored(typed, Path.cwd())
    from_file = read_values(recipe_file) if recipe_file is not None else {}
    from_file = _without_orphans(from_file, typed, notes)
    values = _merged(from_file, typed)
    refuse_untrusted(_without(from_file, typed), _with_owners(values), str(recipe_file), allow_local_plugins)
    from_demo = _demo_defaults(values)
    if "scorer_options" in from_demo:
        notes.append("demo: where BERTScore is asked for, it reads the bundled encoder")
    try:
        recipe = Recipe.model_validate(_merged(from_demo, values))
    except ValidationError as error:
        raise usage_error(error, "command line") from error
    layers = (("command line", typed), ("recipe", from_file), ("demo", from_demo))
    sources = {path: _source(path, layers) for path in _paths(recipe.model_dump())}
    return Resolved(recipe, sources, tuple(notes))


def read(path: str | Path) -> Recipe:
    """The recipe in a file, its gaps filled with the defaults.

    Raises:
        UsageError: the file cannot be read, holds a mistake, named with its key, table and line, or needs trust.
    """
    values = read_values(path)
    refuse_untrusted(values, _with_owners(values), path)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise usage_error(error, str(path)) from error


def dumps(recipe: Recipe) -> str:
    """A recipe as TOML, every setting written out; settings that are None are left out. Files with plugins are named
    by their whole path: the recipe may be read from another folder than they were typed in."""
    return tomli_w.dumps(plugins_anchored(recipe.model_dump(mode="json", exclude_none=True), Path.cwd()))


def write(recipe: Recipe, path: str | Path) -> None:
    """Write a recipe that `resolve` made, so that `read` gives it back equal."""
    with writing(path) as part:
        part.write_text(dumps(recipe), encoding="utf-8")


def schema_json() -> str:
    """The JSON schema of a recipe, for editors."""
    return json.dumps(Recipe.model_json_schema(), indent=2)


def _given(overrides: Mapping[str, Any]) -> Values:
    """The overrides without what was not given: None, and tables in which nothing was."""
    given = {key: _given(value) if isinstance(value, Mapping) else value for key, value in overrides.items()}
    return {key: value for key, value in given.items() if value is not None and value != {}}


def _merged(lower: Values, upper: Values) -> Values:
    """Both, the upper one's settings first."""
    merged = {**lower, **upper}
    for key in lower.keys() & upper.keys():
        if isinstance(lower[key], dict) and isinstance(upper[key], dict):
            merged[key] = _merged(lower[key], upper[key])
    return merged


def _without(values: Values, others: Values) -> Values:
    """The settings of `values` that `others` does not replace."""
    left = {}
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(others.get(key), dict):
            left[key] = _without(value, others[key])
        elif key not in others:
            left[key] = value
    return left


def _with_owners(values: Values) -> Values:
    """`values` with the plugins that are named by default."""
    owners: Values = {owner: _default("", owner) for owner in ("scorer", "listener")}
    compared = {owner: _default("evaluate.", owner) for owner in ("scorer", "convergence_scorer")}
    return _merged({**owners, "evaluate": compared}, values)


def _without_orphans(from_file: Values, typed: Values, notes: list[str], table: str = "") -> Values:
    """The recipe's settings without the options of a plugin that the command line replaced."""
    kept = dict(from_file)
    if isinstance(kept.get("evaluate"), dict) and isinstance(typed.get("evaluate"), dict):
        kept["evaluate"] = _without_orphans(kept["evaluate"], typed["evaluate"], notes, "evaluate.")
    for options, owner in _OWNER_OF.items():
        if not from_file.get(options) or owner not in typed:
            continue
        before = from_file.get(owner, _default(table, owner))
        if not _same_plugin(typed[owner], before):
            del kept[options]
            notes.append(f"{table}{options} of the recipe are for {before}, not for {typed[owner]}: they are not used")
    return kept


def _same_plugin(typed: Any, before: Any) -> bool:
    """Whether both name the same plugin; in a recipe a file is named by its whole path."""
    if typed == before or not (is_local(str(typed)) and is_local(str(before))):
        return bool(typed == before)
    return Path(os.path.expanduser(str(typed))).resolve() == Path(str(before))  # noqa: PTH111 - as where it was anchored


def _default(table: str, key: str) -> Any:
    model: type[BaseModel] = type(Recipe.model_fields["evaluate"].default) if table else Recipe
    return model.model_fields[key].default


def uses_demo_encoder(recipe: Recipe) -> bool:
    """Whether the scorer's options are those that the demo gives where nothing was."""
    return recipe.scorer == "bertscore" and recipe.scorer_options == _demo_encoder()


def without_demo(recipe: Recipe) -> Recipe:
    """The recipe without what the demo gives where nothing was, to be read again in another installation."""
    encoder, evaluate = _demo_encoder(), recipe.evaluate
    scorers = (("scorer", "scorer_options"), ("convergence_scorer", "convergence_options"))
    given: Values = {
        options: {}
        for scorer, options in scorers
        if getattr(evaluate, scorer) == "bertscore" and getattr(evaluate, options) == encoder
    }
    changed: Values = {"evaluate": evaluate.model_copy(update=given)}
    if uses_demo_encoder(recipe):
        changed["scorer_options"] = {}
    return recipe.model_copy(update=changed)


def _demo_encoder() -> Values:
    from headprune import demo

    return {"model_type": str(demo.bert_path()), "num_layers": demo.BERT_LAYERS}


def _demo_defaults(values: Values) -> Values:
    """What the demo gives where nothing was: BERTScore's own default encoder would have to be fetched."""
    if "demo" not in (values.get("model"), values.get("data")):
        return {}
    encoder = _demo_encoder()
    found: Values = {}
    if values.get("scorer", _default("", "scorer")) == "bertscore" and not values.get("scorer_options"):
        found["scorer_options"] = encoder
    evaluate = values.get("evaluate", {})
    for scorer, options in (("scorer", "scorer_options"), ("convergence_scorer", "convergence_options")):
        if evaluate.get(scorer, _default("evaluate.", scorer)) == "bertscore" and not evaluate.get(options):
            found.setdefault("evaluate", {})[options] = encoder
    return found


def _paths(values: Values, table: str = "") -> Iterator[str]:
    """The dotted name of each setting; an empty table is a setting of its own."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _paths(value, f"{table}{key}.")
        else:
            yield table + key


def _source(path: str, layers: tuple[tuple[str, Values], ...]) -> str:
    for name, values in layers:
        if path in set(_paths(values)):
            return name
    return "default"
