"""What a run folder holds and how it stands, read without changing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from headprune.errors import HeadpruneError
from headprune.runs.folder import RunFolder
from headprune.runs.lock import LOCK, is_locked
from headprune.runs.opening import FILE, DamagedStoreError
from headprune.runs.repair import unfinished
from headprune.runs.rows import family
from headprune.runs.sessions import RUNNING, Session, progress, sessions
from headprune.runs.store import RunStore


class State(str, Enum):
    """How a run stands. `stopped` is a process that is gone without a word: killed, or its machine went down."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    STOPPED = "stopped"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Held:
    """Results under one description of what determines them.

    Attributes:
        captions, scores: how many.
        present: whether the run's last session went on with them; others stay, and are not used by it.
        description: what determines them, but for what differs within a run.
    """

    captions: int
    scores: int
    present: bool
    description: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Overview:
    """A run of Algorithm 1.

    Attributes:
        folder: where it is.
        state: how it stands.
        why: what is wrong with it; empty where nothing is.
        identity: what determines its results: the recipe's settings, and those of the model and the plugins.
        sessions: that worked on it, in order.
        held: its captions and scores.
        importances: how many.
    """

    folder: Path
    state: State
    why: str
    identity: dict[str, Any]
    sessions: tuple[Session, ...]
    held: tuple[Held, ...]
    importances: int

    @property
    def progress(self) -> tuple[int, int]:
        """How many results it has, and of how many."""
        return progress(self.sessions)

    @property
    def left_out(self) -> dict[str, str]:
        """Samples that could not be worked on: why, by id."""
        return {error.sample: error.message for one in self.sessions for error in one.errors if error.sample}


def holds_score_run(folder: Path) -> bool:
    """Whether `headprune score` wrote into `folder`: a run that was killed early has its lock only."""
    return (folder / FILE).is_file() or (folder / LOCK).is_file()


def overview(folder: Path) -> Overview:
    """What a run folder holds.

    Raises:
        DamagedStoreError: its store is damaged.
        HeadpruneError: it cannot be read.
    """
    # Before the store is read: a run that ends meanwhile has said so there.
    locked = is_locked(folder)
    if not locked and unfinished(folder):
        raise DamagedStoreError(
            f"{folder / FILE} was damaged, and its repair was cut off",
            f"headprune runs resume {folder} goes on with it",
        )
    if not (folder / FILE).is_file():
        return Overview(folder, State.RUNNING if locked else State.STOPPED, "", {}, (), (), 0)
    with RunFolder.open(folder) as run:
        found = sessions(run.store)
        importances = run.store.all("SELECT count(*) FROM weighed")[0][0]
        state = _state(run, found, locked)
        why = found[-1].errors[-1].message if state is State.FAILED and found[-1].errors else ""
        return Overview(folder, state, why, run.identity(), found, _held(run.store, found), importances)


def overview_or_why(folder: Path) -> Overview:
    """The same of any run folder: one that cannot be read is told with the reason."""
    try:
        return overview(folder)
    except HeadpruneError as error:
        state = State.DAMAGED if isinstance(error, DamagedStoreError) else State.UNREADABLE
        return Overview(folder, state, error.message, {}, (), (), 0)


def _state(run: RunFolder, found: Sequence[Session], locked: bool) -> State:
    if locked:
        return State.RUNNING
    if not found:  # of a headprune that wrote down no sessions
        return State.FINISHED if run.patch.is_file() else State.STOPPED
    said = found[-1].state
    return State.STOPPED if said == RUNNING or said not in {*State} else State(said)


def _held(store: RunStore, found: Sequence[Session]) -> tuple[Held, ...]:
    query = "SELECT digest, count(*) FROM {} JOIN contexts ON contexts.id = context_id GROUP BY digest"
    counts = {table: dict(store.all(query.format(table))) for table in ("captions", "scores")}
    captions, scores = Counter[str](), Counter[str]()
    descriptions: dict[str, dict[str, Any]] = {}
    contexts = store.contexts()
    for digest, description in contexts.items():
        name = family(description)
        descriptions[name] = {key: value for key, value in description.items() if key != "coefficients"}
        captions[name] += counts["captions"].get(digest, 0)
        scores[name] += counts["scores"].get(digest, 0)
    # The newest whose versions are those of the last session: contexts are in the order of their first use.
    here = found[-1].environment.get("versions") if found else None
    fitting = [name for name, one in descriptions.items() if here is None or one.get("versions") == here]
    present = fitting[-1] if fitting else None
    return tuple(
        Held(captions[name], scores[name], name == present, description)
        for name, description in descriptions.items()
        if captions[name] or scores[name]
    )
