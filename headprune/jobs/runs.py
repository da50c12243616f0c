"""headprune runs: which runs there are, what they hold, and their results for other tools. Nothing here loads torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from headprune.errors import HeadpruneError, UsageError
from headprune.perspectives.run import RunInfo, holds_run, load_info
from headprune.runs.folder import RunFolder
from headprune.runs.overview import Overview, State, holds_score_run, overview, overview_or_why

SCORE = "score"


@dataclass(frozen=True, slots=True)
class Listed:
    """A run in a line.

    Attributes:
        folder: where it is.
        kind: `score`, or the perspective's name; empty where it cannot be told.
        state: how it stands.
        why: what is wrong with it; empty where nothing is.
        model, data, scorer, edit, samples: what it is of; None where it has none.
        done, total: how many captions and scores it has, and of how many; None where it counts none.
        started, last: when it was begun and last worked on, UTC; None where it is not told.
    """

    folder: Path
    kind: str
    state: State
    why: str = ""
    model: str | None = None
    data: str | None = None
    scorer: str | None = None
    edit: str | None = None
    samples: int | None = None
    done: int | None = None
    total: int | None = None
    started: str | None = None
    last: str | None = None


def list_runs(folder: Path) -> Iterator[Listed]:
    """Every run in `folder` and below it, by name. What cannot be read is listed with the reason.

    Raises:
        UsageError: `folder` is none.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "name the folder that your runs are in")
    barred: list[OSError] = []
    for name, folders, _ in os.walk(folder, onerror=barred.append):
        folders.sort()
        here = Path(name)
        # A link may lead back up: what it leads to is looked at, and not what is below.
        for place in (here, *(here / name for name in folders if (here / name).is_symlink())):
            if holds_score_run(place):
                yield listed(overview_or_why(place))
            elif holds_run(place):
                yield _perspective(place)
    for error in barred:
        yield Listed(Path(error.filename), "", State.UNREADABLE, os.strerror(error.errno or 0))


def listed(run: Overview) -> Listed:
    """A run of Algorithm 1 in a line."""
    known, (done, total) = run.identity, run.progress
    return Listed(
        run.folder,
        SCORE,
        run.state,
        run.why,
        **{name: known.get(name) for name in ("model", "data", "scorer", "edit", "samples")},
        done=done if total else None,
        total=total or None,
        started=run.sessions[0].started if run.sessions else None,
        last=run.sessions[-1].last if run.sessions else None,
    )


def show_run(folder: Path) -> Overview | RunInfo:
    """What a run holds, of whichever kind it is.

    Raises:
        HeadpruneError: it holds none, or it cannot be read.
    """
    if not holds_score_run(folder) and holds_run(folder):
        return load_info(folder)
    return overview(_run(folder))


def export_run(folder: Path, out: Path, table: Literal["results", "importances"]) -> int:
    """Write a run's results, or its importances, as a flat table; return how many rows it has.

    Raises:
        UsageError: `out` is neither `.parquet` nor `.csv`.
        HeadpruneError: there is no run, it cannot be read, or `out` cannot be written.
    """
    from headprune.jobs.flat import writer_for
    from headprune.runs.rows import importances, results

    write = writer_for(out)
    if not holds_score_run(folder) and holds_run(folder):
        hint = f"headprune report {folder} --format csv --out TABLES"
        raise UsageError(f"{folder} is a run of headprune {load_info(folder).kind}", hint)
    with RunFolder.open(_run(folder)) as run:
        # All of it as of one moment: a process may be at work on it.
        run.store.connection.execute("BEGIN")
        return write((results if table == "results" else importances)(run.store), out)


def _run(folder: Path) -> Path:
    if not holds_score_run(folder):
        raise HeadpruneError(f"{folder} holds no run", "headprune runs list FOLDER finds those below a folder")
    return folder


def _perspective(folder: Path) -> Listed:
    try:
        info = load_info(folder)
    except HeadpruneError as error:
        return Listed(folder, "", State.UNREADABLE, error.message)
    return Listed(
        folder,
        info.kind,
        State.FINISHED,
        model=info.model.name,
        data=info.data,
        scorer=info.scorer,
        samples=len(info.samples),
    )


def as_document(run: Listed) -> dict[str, Any]:
    """A listed run, JSON-able."""
    found = {name: getattr(run, name) for name in Listed.__slots__}
    return {"run": str(found.pop("folder")), **found, "state": run.state.value}
