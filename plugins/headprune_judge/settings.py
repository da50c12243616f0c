"""The settings of `judge`, and where its key comes from."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from headprune import Settings, UsageError

OPENAI = "https://api.openai.com/v1"


def _plain_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write http://HOST:PORT/v1 or https://HOST/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        # A URL is written into patches and runs.
        raise ValueError("a key is not part of a URL: name the environment variable that holds it, api_key_env=NAME")
    return url.rstrip("/")


class JudgeSettings(Settings):
    """Settings of `judge`. Those that cannot move a rating are not recorded.

    Attributes:
        model: as the server calls it.
        base_url: of an OpenAI-compatible server.
        api_key_env: the NAME of the environment variable that holds the key. By default OPENAI_API_KEY for OpenAI's
            own server and for one on this machine; another server is sent no key unless one is named.
        temperature: 0 for the likeliest answer; `default` leaves it to the server, where it takes no other.
        seed: sent along where given.
        detail: how closely the server looks at the picture.
        max_side: the longer side of the picture that is sent, in pixels; larger ones are made smaller.
        timeout: seconds to wait for an answer.
        retries: how often a question is asked again.
        concurrency: questions that are open at once.
        price_in, price_out: of a million tokens, for estimates; no prices are built in.
        cache: the file that answers are stored in; by default one in the user's cache folder.
    """

    model: str = Field(default="gpt-4o", min_length=1)
    base_url: Annotated[str, AfterValidator(_plain_url)] = OPENAI
    api_key_env: str | None = Field(default=None, pattern="^[A-Za-z_][A-Za-z0-9_]*$", exclude=True)
    temperature: Annotated[float, Field(ge=0, le=2)] | Literal["default"] = 0.0
    seed: int | None = None
    detail: Literal["auto", "low", "high"] = "auto"
    max_side: int = Field(default=768, ge=32)
    timeout: float = Field(default=60.0, gt=0, exclude=True)
    retries: int = Field(default=4, ge=0, exclude=True)
    concurrency: int = Field(default=4, ge=1, exclude=True)
    price_in: float | None = Field(default=None, ge=0, exclude=True)
    price_out: float | None = Field(default=None, ge=0, exclude=True)
    cache: Annotated[Path, AfterValidator(Path.expanduser)] | None = Field(default=None, exclude=True)


def key_name(settings: JudgeSettings) -> str | None:
    """The environment variable that the key is read from; None where none is sent."""
    return settings.api_key_env or ("OPENAI_API_KEY" if _trusted(settings.base_url) else None)


def read_key(settings: JudgeSettings) -> str | None:
    """The key, read from the environment now and kept by nobody; None where none is sent.

    Raises:
        UsageError: the variable holds none, or something that is none.
    """
    name = key_name(settings)
    key = os.environ.get(name, "").strip() if name else ""
    if not key and (settings.api_key_env or settings.base_url == OPENAI):
        raise UsageError(f"the environment variable {name} holds no API key", f"export {name}=...")
    if not all("!" <= character <= "~" for character in key):
        raise UsageError(f"what {name} holds is no API key: it has spaces or odd characters", f"export {name}=...")
    return key or None


def _trusted(url: str) -> bool:
    """Whether a server is OpenAI's, or on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or url == OPENAI
