"""A judge on this machine: a server that speaks as OpenAI's does, and does what a test tells it to."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import headprune_judge.judge
import pytest
from headprune_judge.judge import Judge
from PIL import Image
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from headprune import RateItem

KEY = "sk-s3cret-0123456789"
CRITERIA = ("entities", "specificity", "information", "correspondence")
Reply = Callable[[Request], Response]


def asked(request: Request) -> list[dict[str, Any]]:
    """The captions in a request, with their layers."""
    text = request.get_json()["messages"][1]["content"][0]["text"]
    found: list[dict[str, Any]] = json.loads(text.removeprefix("<captions>\n").removesuffix("\n</captions>"))
    return found


def level(caption: str) -> int:
    """What this judge thinks of a caption: the longer, the better."""
    return 1 if len(caption) < 10 else 3 if len(caption) < 20 else 5


def rated(request: Request, **changes: Any) -> list[dict[str, Any]]:
    return [
        {"layer": row["layer"], **dict.fromkeys(CRITERIA, level(row["caption"])), **changes} for row in asked(request)
    ]


def says(content: str | None, finish_reason: str = "stop", **message: Any) -> Response:
    """A chat completion."""
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": content, **message},
    }
    body = {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    return Response(
        json.dumps({**body, "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}),
        content_type="application/json",
    )


def fails(status: int, message: str = "no", headers: dict[str, str] | None = None, **error: Any) -> Reply:
    """An error as OpenAI's server words one."""
    body = json.dumps({"error": {"message": message, "type": "t", **error}})
    return lambda request: Response(body, status, headers, content_type="application/json")


def well(request: Request) -> Response:
    """A good answer."""
    return says(json.dumps({"ratings": rated(request)}))


class Backend:
    """The server. `script` holds replies to come, first come first served; after that it answers well.

    Attributes:
        requests: bodies of all requests, in order; `headers` theirs.
        most: how many were open at once at most.
    """

    def __init__(self, server: HTTPServer) -> None:
        self.url = server.url_for("/v1")
        self.script: deque[Reply] = deque()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.slow = 0.0
        self.most = self._open = 0
        self._lock = threading.Lock()
        server.expect_request("/v1/chat/completions", method="POST").respond_with_handler(self._reply)

    def _reply(self, request: Request) -> Response:
        with self._lock:
            self._open += 1
            self.most = max(self.most, self._open)
            self.requests.append(request.get_json())
            self.headers.append(dict(request.headers))
            reply = self.script.popleft() if self.script else well
        try:
            time.sleep(self.slow)
            return reply(request)
        finally:
            with self._lock:
                self._open -= 1


@pytest.fixture(scope="session")
def server() -> Iterator[HTTPServer]:
    with HTTPServer(host="127.0.0.1", threaded=True) as server:
        yield server


@pytest.fixture
def backend(server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """What answers; waiting between questions is short, and the key is in the environment."""
    monkeypatch.setattr(headprune_judge.judge, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.clear()
    return Backend(server)


@pytest.fixture
def judge(backend: Backend, tmp_path: Path) -> Callable[..., Judge]:
    """Makes a judge that asks the server and stores what it says in `tmp_path`."""

    def made(**options: Any) -> Judge:
        found: Judge = Judge.configured({"base_url": backend.url, "cache": str(tmp_path / "judge.sqlite"), **options})
        return found

    return made


def picture() -> Image.Image:
    return Image.new("RGB", (64, 48), (200, 160, 90))


def items(count: int, *captions: str) -> list[RateItem]:
    """Items about one picture; each has captions of its own."""
    said = captions or ("a dog", "a small brown dog", "a small brown dog on sand")
    return [
        RateItem(
            tuple(f"{caption} {number}" for caption in said), tuple(range(len(said))), "", (), picture, f"s{number}"
        )
        for number in range(count)
    ]
