"""What the judge is asked: figure 4's prompt in own words, the picture, the captions; and the shape of its answer."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image

from headprune_judge.answer import CRITERIA, LEVELS
from headprune_judge.settings import JudgeSettings

_PROMPT = Template((Path(__file__).parent / "prompt.txt").read_text(encoding="utf-8"))
_COMPARED = (
    ", and whether it is more specific than the caption before it.\nThe first caption has none before it: its "
    "information is 3"
)
PROMPT_VERSION = hashlib.sha256((_PROMPT.template + _COMPARED).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Question:
    """All that determines an answer.

    Attributes:
        layers: the numbers that the captions go by, in order.
        body: of the request, but for the answer's schema, which follows from `layers`.
        key: names the question in the store.
    """

    layers: tuple[int, ...]
    body: dict[str, Any]
    key: str


def ask(settings: JudgeSettings, layers: Sequence[int], captions: Sequence[str], picture: str) -> Question:
    """The question about one picture's captions.

    Args:
        picture: a data URL, from `encoded`.
    """
    content = [
        {"type": "text", "text": _listed(layers, captions)},
        {"type": "image_url", "image_url": {"url": picture, "detail": settings.detail}},
    ]
    messages = [{"role": "system", "content": prompt(len(captions))}, {"role": "user", "content": content}]
    body: dict[str, Any] = {"model": settings.model, "messages": messages}
    if settings.temperature != "default":
        body["temperature"] = settings.temperature
    if settings.seed is not None:
        body["seed"] = settings.seed
    whole = json.dumps([settings.base_url, body, PROMPT_VERSION], sort_keys=True)
    return Question(tuple(layers), body, hashlib.sha256(whole.encode()).hexdigest())


def prompt(captions: int) -> str:
    """What the judge is told; of a single caption, nothing of the one before it."""
    return _PROMPT.substitute(compared=_COMPARED if captions > 1 else "")


def encoded(picture: Image.Image, max_side: int) -> str:
    """A picture as a data URL, made smaller where its longer side is above `max_side` pixels."""
    small = picture.convert("RGB")
    small.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def response_format(layers: Sequence[int]) -> dict[str, Any]:
    """The JSON schema of an answer, for servers that keep to one."""
    level = {"type": "integer", "enum": list(LEVELS)}
    fields = {"layer": {"type": "integer", "enum": list(layers)}, **dict.fromkeys(CRITERIA, level)}
    ratings = {"type": "array", "items": _object(fields)}
    return {
        "type": "json_schema",
        "json_schema": {"name": "ratings", "strict": True, "schema": _object({"ratings": ratings})},
    }


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _listed(layers: Sequence[int], captions: Sequence[str]) -> str:
    """The captions as JSON between marks, which no caption can forge: `<` is escaped in it."""
    rows = [{"layer": layer, "caption": caption} for layer, caption in zip(layers, captions, strict=True)]
    return f"<captions>\n{json.dumps(rows).replace('<', chr(92) + 'u003c')}\n</captions>"
