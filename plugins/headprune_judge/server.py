"""One question to an OpenAI-compatible server, through the `openai` SDK; what it answers, or why it did not."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import openai
from pydantic import BaseModel, ValidationError

from headprune import PluginError, notice
from headprune_judge.answer import Unusable
from headprune_judge.question import Question, response_format
from headprune_judge.settings import JudgeSettings, key_name, read_key

_BUSY = {408, 409, 425, 429}
_ANSWERED: set[str] = set()
"""Addresses from which an answer has come to this process."""


class Again(Exception):
    """The server did not answer, and may if asked again, after `wait` seconds at least where it said so."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: _Usage | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What the model said: text, or that it will not, and what that took."""

    text: str
    refused: bool
    tokens_in: int | None
    tokens_out: int | None


class Server:
    """The server, for as long as some questions are asked. May be used by several threads.

    Raises:
        UsageError: there is no key.
    """

    def __init__(self, settings: JudgeSettings) -> None:
        self._settings = settings
        self._key = read_key(settings)
        self._schema = True
        # Retries are counted here and not in the SDK; a key that is not there is left out of the request.
        self._client = openai.OpenAI(
            api_key=self._key or "none", base_url=settings.base_url, timeout=settings.timeout, max_retries=0
        )

    @property
    def answered(self) -> bool:
        """Whether it has answered before, in this process."""
        return self._settings.base_url in _ANSWERED

    def close(self) -> None:
        """Let go of its connections."""
        self._client.close()

    def ask(self, question: Question) -> Said:
        """Ask once.

        Raises:
            Again: busy, out of order, out of reach, or too slow. Unusable: what came is no answer.
            PluginError: it will not answer however often it is asked.
        """
        with_schema = self._schema
        try:
            return self._asked(question, with_schema)
        except openai.BadRequestError as error:
            if not (with_schema and _about_schema(error)):
                raise self._refused(error) from None
        if self._schema:
            self._schema = False
            notice(f"{self._settings.base_url} takes no response_format: its answers are read as they come")
        return self.ask(question)

    def _asked(self, question: Question, with_schema: bool) -> Said:
        body = {**question.body, **({"response_format": response_format(question.layers)} if with_schema else {})}
        headers = {} if self._key else {"Authorization": openai.Omit()}
        try:
            raw = self._client.chat.completions.with_raw_response.create(**body, extra_headers=headers)
        except openai.APITimeoutError:
            raise Again(f"no answer within {self._settings.timeout:g} s") from None
        except openai.APIConnectionError as error:
            raise Again(f"it cannot be reached: {type(error.__cause__ or error).__name__}") from None
        except openai.BadRequestError:
            raise
        except openai.APIStatusError as error:
            if error.status_code < 500 and (error.status_code not in _BUSY or error.code == "insufficient_quota"):
                raise self._refused(error) from None
            raise Again(self._worded(error), _retry_after(error)) from None
        return self._read(raw.http_response.text)

    def _read(self, text: str) -> Said:
        try:
            completion = _Completion.model_validate_json(text)
        except ValidationError:
            raise Unusable("it is no chat completion") from None
        if not completion.choices:
            raise Unusable("it holds no message")
        _ANSWERED.add(self._settings.base_url)
        choice, usage = completion.choices[0], completion.usage or _Usage()
        if choice.finish_reason == "length":
            raise Unusable("it is cut off (finish_reason length)")
        refusal = choice.message.refusal or ("content filter" if choice.finish_reason == "content_filter" else "")
        said = refusal or choice.message.content or ""
        return Said(self._clean(said), bool(refusal), usage.prompt_tokens, usage.completion_tokens)

    def _refused(self, error: openai.APIStatusError) -> PluginError:
        named = key_name(self._settings)
        hint = {
            400: "check model=; temperature=default where the model takes no other",
            401: f"check the key that {named} holds" if named else "api_key_env=NAME, the variable that holds the key",
            403: "this key may not use that model: check model= and the key's rights",
            404: "check base_url= (it mostly ends in /v1) and model=",
            429: "the account is used up",
        }.get(error.status_code, "check model= and base_url=")
        return PluginError(f"{self._settings.base_url} answers {self._worded(error)}", hint)

    def _worded(self, error: openai.APIStatusError) -> str:
        told = error.body.get("message") if isinstance(error.body, dict) else None
        message = " ".join(self._clean(str(told or error.message)).split())
        return f"{error.status_code}: {message[:300]}"

    def _clean(self, text: str) -> str:
        """Text of the server without our key, should it be echoed."""
        return text.replace(self._key, "***") if self._key else text


def _about_schema(error: openai.BadRequestError) -> bool:
    told = str(error.message).lower()
    return error.param == "response_format" or any(word in told for word in ("response_format", "json_schema"))


def _retry_after(error: openai.APIStatusError) -> float:
    """Seconds that the server asks to wait, 0 where it does not say."""
    told = error.response.headers.get("retry-after", "")
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except ValueError:
        return 0.0
