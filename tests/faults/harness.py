"""One demo run that is the truth, other runs of it that faults are put into, and what is counted of them."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.faults.server import Order
from tests.support.fault_table import PROPERTY

ROOT = Path(__file__).parents[2]
FULL = os.environ.get("HEADPRUNE_FAULTS") == "1"
"""Whether all faults are tried, as `make faults` does, or a share of them."""
SAMPLES, BATCH = 6, 8
DEMO = ("score", "demo", "--data", "demo", "--samples", SAMPLES, "--layers", "2-4", "--batch-size", BATCH)
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "COLUMNS": "200",
}
STORE = "run.sqlite"
PATCH = "patch.safetensors"
T = TypeVar("T")
Rows = frozenset[tuple[Any, ...]]


def share(full: T, quick: T) -> T:
    """What is tried of all faults, or of a share of them."""
    return full if FULL else quick


@dataclass(frozen=True)
class Done:
    """A command that ended: its exit code (-9: it was killed), how long it took, its peak memory, what it printed."""

    code: int
    seconds: float
    memory: int
    said: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.said.splitlines() if line.startswith("error: ")]

    def refuses(self, *codes: int) -> bool:
        """Whether it says in one line what is wrong, ends with one of these codes and blames nobody of us."""
        bug = "Traceback" in self.said or "bug in headprune" in self.said
        return self.code in codes and len(self.errors) == 1 and not bug

    def ended_well(self) -> bool:
        """Whether it is done, or refuses as every command may."""
        return (self.code == 0 and not self.errors and "Traceback" not in self.said) or self.refuses(1, 2, 3, 4)


class ForkServer:
    """The client's side of `tests.faults.server`."""

    def __init__(self, folder: Path) -> None:
        self._said = folder / "said.txt"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "server.txt").open("w"),
            text=True,
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
        )
        self._answer()

    def run(self, words: tuple[object, ...], folder: Path, **faults: Any) -> Done:
        """Run a command to its end, with faults as `Order` names them."""
        self._said.unlink(missing_ok=True)
        order = Order(tuple(map(str, words)), str(folder), str(self._said), **faults)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        # Killed in its first moments it has not made the file yet.
        said = self._said.read_text(encoding="utf-8", errors="replace") if self._said.exists() else ""
        return Done(said=said, **answer)

    def close(self) -> None:
        self._process.communicate(timeout=60)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the fork server has ended"
        found: dict[str, Any] = json.loads(line)
        return found


def fresh(words: tuple[object, ...], folder: Path, kill: float | None = None, **popen: Any) -> Done:
    """Run a command as a process of its own, from the very start of Python."""
    import time

    process = subprocess.Popen(
        [sys.executable, "-c", "from headprune.cli.app import main; main()", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=folder,
        env={**os.environ, **ENVIRONMENT, **popen},
    )
    began = time.monotonic()
    try:
        said, _ = process.communicate(timeout=kill if kill is not None else 120)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
    return Done(process.returncode, time.monotonic() - began, 0, said)


_RESULTS = {
    "captions": "SELECT 'caption', contexts.digest, name, picture, layer, head, text, sum FROM captions "
    "JOIN contexts ON contexts.id = context_id JOIN samples ON samples.id = sample_id",
    "scores": "SELECT 'score', contexts.digest, scorers.digest, name, picture, layer, head, value, sum FROM scores "
    "JOIN contexts ON contexts.id = context_id JOIN scorers ON scorers.id = scorer_id "
    "JOIN samples ON samples.id = sample_id",
    "importances": "SELECT 'importance', patch, name, picture, layer, by_head, sum FROM importances "
    "JOIN samples ON samples.id = sample_id",
}


def rows(run: Path, *tables: str) -> Rows:
    """Every result that a run's store holds, by all that it stands for; read from a copy, so that nothing is mended."""
    with tempfile.TemporaryDirectory() as copy:
        for file in run.glob(f"{STORE}*"):
            if "damaged" not in file.name:
                with suppress(FileNotFoundError):  # a journal that is just done with
                    shutil.copy(file, copy)
        if not (Path(copy) / STORE).exists():
            return frozenset()
        found: list[tuple[Any, ...]] = []
        with closing(sqlite3.connect(Path(copy) / STORE)) as store:
            if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'importances'").fetchall():
                return frozenset()
            for table in tables or _RESULTS:
                found += store.execute(_RESULTS[table]).fetchall()
    return frozenset(found)


@dataclass
class Truth:
    """The run that nothing happened to, and the way to make it again."""

    server: ForkServer
    folder: Path
    patch: bytes
    rows: Rows
    decoded: int
    seconds: float

    def again(self, place: Path, **faults: Any) -> Done:
        """Run it in `place`/run, or go on with what is there."""
        return self.server.run((*DEMO, "--out", "run"), place, **faults)

    def started(self, place: Path) -> Path:
        """A copy of the finished run in `place`."""
        return Path(shutil.copytree(self.folder, place / "run", dirs_exist_ok=True))


def make_truth(server: ForkServer, folder: Path) -> Truth:
    """Run the demo twice: it has to be the same."""
    patches, seconds = [], 0.0
    for name in ("one", "two"):
        (folder / name).mkdir()
        done = server.run((*DEMO, "--out", "run"), folder / name, decoded=str(folder / name / "decoded"))
        assert done.code == 0, done.said
        patches.append((folder / name / "run" / PATCH).read_bytes())
        seconds = max(seconds, done.seconds)
    assert patches[0] == patches[1]
    run = folder / "two" / "run"
    return Truth(server, run, patches[1], rows(run), count(folder / "two" / "decoded"), seconds)


def count(file: Path) -> int:
    """The sum of a file's lines."""
    return sum(map(int, file.read_text().split())) if file.exists() else 0


@dataclass
class Tally:
    """What came of the faults of one kind.

    Attributes:
        kind: as README names it.
        tried: faults that were put in.
        survived: of these, after which all went on, or ended as it should.
        lost: results that were stored, and gone afterwards.
        wrong: runs that ended well with another result than the truth.
        notes: what happened, for whoever reads a failure.
    """

    kind: str
    tried: int = 0
    survived: int = 0
    lost: int = 0
    wrong: int = 0
    notes: list[str] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=dict)

    def fault(self, survived: bool, note: object = "", lost: int = 0, wrong: int = 0) -> None:
        """Count one."""
        self.tried += 1
        self.survived += survived
        self.lost += lost
        self.wrong += wrong
        if not survived or lost or wrong:
            self.notes.append(str(note))

    def tell(self, what: str, number: int = 1) -> None:
        """Count something else that is worth to be known."""
        self.told[what] = self.told.get(what, 0) + number

    def check(self) -> None:
        """All must have been survived, with nothing lost and nothing wrong."""
        assert self.tried, "no fault was tried"
        clean = (self.survived, self.lost, self.wrong) == (self.tried, 0, 0)
        assert clean, f"{self.kind}: {self.figures()}\n" + "\n---\n".join(self.notes[:5])

    def figures(self) -> dict[str, int]:
        return {"tried": self.tried, "survived": self.survived, "lost": self.lost, "wrong": self.wrong}

    def record(self, record_property: Callable[[str, object], None]) -> None:
        """For the table."""
        record_property(PROPERTY, json.dumps([self.kind, self.figures(), self.told]))


def flipped(data: bytes, chance: random.Random, start: int = 0) -> bytes:
    """`data` with one bit of one byte turned."""
    at = chance.randrange(start, len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
