"""A process that has everything imported and forks one child a command: a run that can be killed costs no start-up.

It has done nothing with a tensor and loaded no model, so that a child begins as a fresh process does. It reads one JSON
document a line from stdin, an `Order`, and answers with one on stdout.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

IMPORTED = (
    "headprune.cli.app",
    "headprune.cli.tables",
    "headprune.cli.progress",
    "headprune.jobs.score",
    "headprune.jobs.apply",
    "headprune.demo.reader",
    "headprune_transformers.backend",
    "headprune_bertscore.scorer",
    "headprune_bertscore.encoder",
    "bert_score",
    "transformers.models.blip_2.modeling_blip_2",
    "transformers.models.blip_2.processing_blip_2",
    "transformers.models.bert.modeling_bert",
    "transformers.models.auto.modeling_auto",
    "filelock",
    "sqlite3",
)


@dataclass(frozen=True)
class Order:
    """One command.

    Attributes:
        words: of the command line, without `headprune`.
        folder: to run it in.
        said: a file for what it prints, stdout and stderr.
        kill: seconds after which it is killed; None lets it live.
        at_file: kill it just before it opens, renames or removes a file of the run for this many-th time.
        within: what a file's path holds that is one of the run.
        largest: bytes that a file may have; more is refused, as by a full disk.
        jumps: by how many seconds the clock is set back each time somebody looks at it.
        decoded: a file that gets a line with the number of captions each time that some are asked of the model.
        kill_behind: kill it when it has asked for more captions than that.
        files: what becomes of files when it has asked for its first captions: their new bytes, in base 64, or None.
        memory: rows from which on the model runs out of memory.
    """

    words: tuple[str, ...]
    folder: str
    said: str
    kill: float | None = None
    at_file: int | None = None
    within: str = ""
    largest: int | None = None
    jumps: float = 0.0
    decoded: str = ""
    kill_behind: int | None = None
    files: dict[str, str | None] = field(default_factory=dict)
    memory: int | None = None


def serve() -> None:
    """Do what is ordered until stdin ends."""
    import importlib
    import warnings

    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import torch

    torch.set_num_threads(1)
    for name in IMPORTED:
        importlib.import_module(name)
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_done(Order(**json.loads(line)))), file=answers, flush=True)


def _done(order: Order) -> dict[str, Any]:
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _begin(order)
    if order.kill is not None:
        _wait(child, began + order.kill)
        # It may have ended by now; nobody has waited for it, so its number is still its own.
        os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": time.monotonic() - began,
        "memory": usage.ru_maxrss * 1024,
    }


def _wait(child: int, until: float) -> None:
    """Until it is time, or the child has ended."""
    while (left := until - time.monotonic()) > 0:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(min(left, 0.002))


def _begin(order: Order) -> None:
    """In the child: become the command."""
    code = 70
    try:
        said = os.open(order.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for number in (1, 2):
            os.dup2(said, number)
        os.chdir(order.folder)
        sys.argv = ["headprune", *order.words]
        _spoil(order)
        from headprune.cli.app import main

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _spoil(order: Order) -> None:
    """Put the order's faults into this process."""
    if order.largest is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.largest, order.largest))
    if order.at_file is not None:
        _kill_at_file(order.at_file, order.within)
    if order.jumps:
        _jump(order.jumps)
    if order.decoded or order.files or (order.memory, order.kill_behind) != (None, None):
        _watch_decoding(order)


_FILE_EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "sqlite3.connect", "os.listdir"}


def _kill_at_file(moment: int, within: str) -> None:
    left = [moment]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _FILE_EVENTS and within in str(arguments[0]):
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _jump(seconds: float) -> None:
    """A clock of the day that goes backwards; the monotonic one is what it is."""
    import datetime as dates

    looks = [0]
    true_time = time.time

    def wrong() -> float:
        looks[0] += 1
        return true_time() - seconds * looks[0]

    class Wrong(dates.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(wrong(), tz)

    time.time = wrong
    import headprune.runs.sessions

    headprune.runs.sessions.datetime = Wrong  # type: ignore[misc]


def _watch_decoding(order: Order) -> None:
    from headprune.towers.batches import Decoder

    decode = Decoder._some
    asked = [0]

    def watched(self: Decoder, states: Any, form: Any) -> list[str]:
        if not asked[0]:
            _change(order.files)
        asked[0] += len(states)
        if order.kill_behind is not None and asked[0] > order.kill_behind:
            os.kill(os.getpid(), signal.SIGKILL)
        if order.decoded:
            with Path(order.decoded).open("a") as file:
                file.write(f"{len(states)}\n")
        if order.memory is not None and len(states) > order.memory:
            import torch

            torch.empty(1 << 60, dtype=torch.uint8)
        return decode(self, states, form)

    Decoder._some = watched  # type: ignore[method-assign]


def _change(files: dict[str, str | None]) -> None:
    for name, text in files.items():
        if text is None:
            Path(name).unlink()
        else:
            Path(name).write_bytes(base64.b64decode(text))


if __name__ == "__main__":
    serve()
