"""The `judge` scorer: many questions at once, none of them paid twice."""

from __future__ import annotations

import json
import math
import random
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from headprune import Expense, LayerRater, PluginError, RateItem, ServiceError, UsageError
from headprune_judge.answer import CRITERIA, Unusable, read_ratings
from headprune_judge.pictures import Pictures
from headprune_judge.question import PROMPT_VERSION, Question, ask, prompt
from headprune_judge.server import Again, Server
from headprune_judge.settings import JudgeSettings
from headprune_judge.store import Store, default_file

FIRST_WAIT = 1.0
"""Seconds before a question is asked again, twice as long each time."""
LONGEST_WAIT = 300.0

Ratings = list[list[float]]


class Stopped(Exception):
    """Another question went wrong for good."""


class Judge(LayerRater):
    """A vision-language model rates captions with their picture by the criteria of figure 4, each 1, 3 or 5.

    The prompt is `prompt.txt` beside this file. `rate` shows all captions of a picture at once, and the information of
    the first counts as 3. `score`, for `headprune score`, shows one caption at a time, so that captions are rated
    without one another, and scales the mean of the four to 0..1. Every answer is stored before it is used; a question
    that was answered is not asked again, by any run.

    Raises, when rating:
        ServiceError: the server stays out of reach; what was answered is stored. PluginError: it refuses, keeps giving
            answers that are none, or the model refuses to rate a sample. UsageError: no key, or an item has no picture.
    """

    Settings = JudgeSettings
    settings: JudgeSettings
    needs: ClassVar[frozenset[str]] = frozenset({"picture"})
    criteria: ClassVar[tuple[str, ...]] = CRITERIA

    def rate(self, batch: Sequence[RateItem]) -> list[Ratings]:
        """Ratings of every caption."""
        lacking = next((item.sample for item in batch if item.picture is None), None)
        if lacking is not None:
            raise UsageError(f"sample {lacking!r} has no picture", "the judge looks at it")
        if not batch:
            return []
        with closing(Server(self.settings)) as server, closing(Store(self._file)) as store:
            return _Session(self.settings, server, store).run(batch)

    def expense(self, calls: int, captions: int) -> Expense:
        """What `calls` questions about `captions` captions each would cost: about 4 characters a token, a picture as
        OpenAI's models count it."""
        settings = self.settings
        tiles = 0 if settings.detail == "low" else math.ceil(min(settings.max_side, 768) / 512) ** 2
        tokens_in = calls * (len(prompt(captions)) // 4 + 120 + 85 + 170 * tiles + 30 * captions)
        tokens_out = calls * (10 + 40 * captions)
        cost = None
        if settings.price_in is not None and settings.price_out is not None:
            cost = (tokens_in * settings.price_in + tokens_out * settings.price_out) / 1e6
        service = f"{settings.model} at {settings.base_url}"
        return Expense(service, calls, settings.retries, tokens_in, tokens_out, cost)

    def describe(self) -> dict[str, Any]:
        """The settings that determine ratings, and the prompt's version."""
        return {**super().describe(), "prompt": PROMPT_VERSION}

    @property
    def _file(self) -> Path:
        return self.settings.cache or default_file()


class _Session:
    """Some questions, asked side by side."""

    def __init__(self, settings: JudgeSettings, server: Server, store: Store) -> None:
        self._settings = settings
        self._server = server
        self._store = store
        self._pictures = Pictures(settings.max_side)
        self._stop = threading.Event()
        self._asking: dict[str, threading.Lock] = {}

    def run(self, batch: Sequence[RateItem]) -> list[Ratings]:
        """Ratings of each item; the first question that fails for good stops the others, a refusal does not."""
        with ThreadPoolExecutor(self._settings.concurrency, "judge") as pool:
            futures = [pool.submit(self._stopping, item) for item in batch]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                # Questions that are open are paid: their answers are waited for, and stored.
                self._stop.set()
                pool.shutdown(cancel_futures=True)
        self._raise_first(futures)
        found = [future.result() for future in futures]
        refusals = {item.sample: said for item, said in zip(batch, found, strict=True) if isinstance(said, str)}
        if refusals:
            sample, said = next(iter(refusals.items()))
            more = f"; {len(refusals) - 1} more: {', '.join(list(refusals)[1:6])}" if len(refusals) > 1 else ""
            raise PluginError(
                f"{self._settings.model} refuses to rate sample {sample!r}: {said[:200]!r}{more}",
                "leave it out of the data, or ask another model; all other answers are stored",
            )
        return [said for said in found if not isinstance(said, str)]

    def _raise_first(self, futures: Sequence[Future[Ratings | str]]) -> None:
        errors = [future.exception() for future in futures if future.done() and not future.cancelled()]
        real = [error for error in errors if error is not None and not isinstance(error, Stopped)]
        if real:
            raise real[0]

    def _stopping(self, item: RateItem) -> Ratings | str:
        """`_rated`, which stops the others at once when it fails."""
        try:
            return self._rated(item)
        except BaseException:
            self._stop.set()
            raise

    def _rated(self, item: RateItem) -> Ratings | str:
        """Ratings, or the words in which the model refuses."""
        assert item.picture is not None
        picture = self._pictures.encoded(item.picture)
        question = ask(self._settings, item.layers, item.captions, picture)
        # The same question twice in a batch: the second waits for the first's answer.
        with self._asking.setdefault(question.key, threading.Lock()):
            held = self._store.get(question.key)
            answer = json.loads(held) if held is not None else self._answered(question, item.sample)
        said: Ratings | str = answer["refusal"] if "refusal" in answer else answer["ratings"]
        return said

    def _answered(self, question: Question, sample: str) -> dict[str, Any]:
        """Ask until there is an answer that can be used; it is stored."""
        for attempt in range(self._settings.retries + 1):
            if self._stop.is_set():
                raise Stopped
            try:
                said = self._server.ask(question)
                answer = (
                    {"refusal": said.text} if said.refused else {"ratings": read_ratings(said.text, question.layers)}
                )
            except Unusable as error:
                problem, away = f"its answer cannot be used: {error}", False
                continue
            except Again as error:
                problem, away = str(error), True
                if error.wait > LONGEST_WAIT:
                    problem += f"; it asks to wait {error.wait:.0f} s"
                    break
                if attempt < self._settings.retries:
                    self._pause(max(error.wait, FIRST_WAIT * 2**attempt * random.uniform(0.5, 1.0)))  # noqa: S311
                continue
            self._store.put(question.key, self._settings.model, json.dumps(answer), said.tokens_in, said.tokens_out)
            return answer
        told = f"{self._settings.model} at {self._settings.base_url}, asked {attempt + 1} times about sample {sample!r}"
        hint = f"answers so far are stored in {self._store.file}: the same command goes on from there"
        if away:
            raise ServiceError(f"{told}: {problem}", hint, self._server.answered)
        raise PluginError(f"{told}: {problem}", hint)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(min(seconds, LONGEST_WAIT)):
            raise Stopped
