"""Fields of a pydantic model, as its own JSON schema tells them, in plain words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from headprune_docs.rst import code

Schema = Mapping[str, Any]

_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "table",
}
_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A setting.

    Attributes:
        name: its key.
        type: what may be given.
        default: what holds where nothing is given.
        description: what it is for; empty where nobody said so.
    """

    name: str
    type: str
    default: str
    description: str


def fields(model: type[BaseModel], descriptions: Mapping[str, str]) -> Iterator[Field]:
    """The fields of `model`, in order; `descriptions` of those that do not bring one themselves."""
    schema = model.model_json_schema()
    defined = schema.get("$defs", {})
    for name, one in schema.get("properties", {}).items():
        description = one.get("description") or descriptions.get(name, "")
        yield Field(name, type_of(one, defined), _default(one, name in schema.get("required", ())), description)


def type_of(schema: Schema, defined: Schema) -> str:
    """What a value may be: `whole number, at least 1`."""
    if "$ref" in schema:
        return type_of(defined[schema["$ref"].rpartition("/")[2]], defined)
    if "anyOf" in schema:
        return " or ".join(type_of(one, defined) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return " or ".join(code(str(value)) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {type_of(schema['items'], defined)}"
    limits = [text.format(schema[key]) for key, text in _LIMITS.items() if key in schema]
    return ", ".join([_TYPES[schema["type"]], *limits])


def _default(schema: Schema, required: bool) -> str:
    if required:
        return "none, it has to be given"
    value = schema.get("default")
    return "left out" if value is None else code(json.dumps(value))
