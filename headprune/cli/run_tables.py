"""What runs look like on a terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from headprune.cli.output import shown, table
from headprune.runs.sessions import RUNNING, SCORES, Stage, to_the_minute

if TYPE_CHECKING:
    from headprune.jobs.runs import Listed
    from headprune.perspectives.run import RunInfo
    from headprune.runs.overview import Held, Overview
    from headprune.runs.sessions import Session

_STYLES = {"finished": "green", "running": "cyan", "interrupted": "yellow", "stopped": "yellow"}
# Columns of a terminal from which on a run fits into a line.
_WIDE = 110


def list_table(runs: Sequence[Listed], width: int) -> RenderableType:
    """A line a run on a wide terminal, two on a narrow one."""
    if width >= _WIDE:
        columns = ("run", "state", "kind", "of", "samples", "done", "last worked on (UTC)")
        rows = [(str(run.folder), run.state.value, run.kind, _of(run), *_numbers(run)) for run in runs]
        reasons = [shown(f"{run.folder}: {run.why}") for run in runs if run.why]
        return Group(table("", columns, rows, left=4), *reasons)
    parts: list[RenderableType] = []
    for run in runs:
        samples, done, last = _numbers(run)
        head = Text.assemble((_plain(str(run.folder)), "bold"), "  ", (run.state.value, _style(run.state.value)))
        told = [run.kind, _of(run), f"{samples} samples" if samples else "", done, f"{last} UTC" if last else ""]
        parts += [head, Padding(shown(", ".join(filter(None, told))), (0, 0, 0, 2))]
        if run.why:
            parts.append(Padding(shown(run.why), (0, 0, 0, 2)))
    return Group(*parts)


def run_table(run: Overview) -> RenderableType:
    """All of a run of Algorithm 1."""
    done, total = run.progress
    head = Text.assemble((_plain(str(run.folder)), "bold"), "  ", (run.state.value, _style(run.state.value)))
    held = f"{sum(one.captions for one in run.held):,} captions, {sum(one.scores for one in run.held):,} scores"
    facts = [("holds", f"{held}, {run.importances:,} importances")]
    if total:
        facts.insert(0, ("done", f"{done:,} of {total:,} results"))
    facts += [(name, _value(value)) for name, value in run.identity.items() if value not in (None, {}, [])]
    parts: list[RenderableType] = [head]
    if run.why:
        parts.append(Text(_plain(run.why), style="red"))
    parts += [table("", ("", ""), facts, left=2), *_sessions(run), *_errors(run), *_others(run.held)]
    return Group(*parts)


def perspective_table(folder: Path, info: RunInfo) -> RenderableType:
    """How a perspective's run came about."""
    facts = [
        ("kind", info.kind),
        ("model", f"{info.model.name} ({info.model.geometry})"),
        ("data", info.data),
        ("samples", f"{len(info.samples)}, {info.left_out} left out"),
        ("seed", str(info.seed)),
        ("layers", ", ".join(map(str, info.layers))),
        ("scorer", info.scorer or "none"),
        ("generation", _value(info.generation)),
        ("patch", info.patch.digest[:16] if info.patch else "none"),
        ("worked", _duration(info.seconds)),
        ("versions", _value(info.versions)),
    ]
    head = Text.assemble((_plain(str(folder)), "bold"), "  ", ("finished", _style("finished")))
    return Group(head, table("", ("", ""), facts, left=2))


def run_document(run: Overview) -> dict[str, Any]:
    """The same of a run of Algorithm 1 as JSON."""
    done, total = run.progress
    return {
        "run": str(run.folder),
        "kind": "score",
        "state": run.state.value,
        "why": run.why,
        "done": done,
        "total": total,
        "identity": run.identity,
        "sessions": [_session(session) for session in run.sessions],
        "left_out": [{"id": sample, "reason": reason} for sample, reason in run.left_out.items()],
        "contexts": [asdict(one) for one in run.held],
        "importances": run.importances,
    }


def _session(session: Session) -> dict[str, Any]:
    document = asdict(session)
    for stage in document["stages"]:
        stage["per_second"] = stage["made"] / stage["seconds"] if stage["seconds"] else None
    return document


def _sessions(run: Overview) -> list[RenderableType]:
    if not run.sessions:
        return []
    rows, stages = [], []
    for number, one in enumerate(run.sessions, 1):
        gone = one.state == RUNNING and (one is not run.sessions[-1] or run.state.value != RUNNING)
        state = "stopped" if gone else one.state
        rows.append((str(number), to_the_minute(one.started), state, f"{one.user}@{one.host}", _duration(one.seconds)))
        for stage in _together(one.stages):
            speed = f"{stage.made / stage.seconds:,.1f}/s" if stage.seconds and stage.made else "-"
            made = f"{stage.reused + stage.made:,} of {stage.total:,}"
            stages.append((str(number), stage.stage, made, f"{stage.reused:,}", _duration(stage.seconds), speed))
    last = run.sessions[-1]
    where = [("folder", last.folder), ("process", str(last.process))]
    where += [(name, _value(value)) for name, value in last.environment.items()]
    return [
        table("\nsessions", ("", "started (UTC)", "state", "by", "worked"), rows, left=4),
        table("\nstages", ("", "stage", "results", "reused", "took", "speed"), stages, left=2),
        table("\nthe last session ran on", ("", ""), where, left=2),
    ]


def _together(stages: Sequence[Stage]) -> list[Stage]:
    """The stages that were worked on, with those of scores, one a layer, as one."""
    stages = [stage for stage in stages if stage.reused or stage.made]
    scores = [stage for stage in stages if stage.stage.startswith(SCORES)]
    # What is scored unchanged at a layer is a stage beside that of its heads.
    layers = {stage.stage.partition(",")[0] for stage in scores}
    if len(layers) < 2:
        return stages
    sums = (sum(getattr(stage, name) for stage in scores) for name in ("total", "reused", "made", "seconds"))
    one = Stage(f"scores of {len(layers)} layers", *sums)
    return [one if stage is scores[0] else stage for stage in stages if stage is scores[0] or stage not in scores]


def _errors(run: Overview) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for number, session in enumerate(run.sessions, 1):
        for error in session.errors:
            of = f", sample {error.sample} left out" if error.sample else ""
            parts.append(shown(f"session {number}, {to_the_minute(error.at)} UTC, {error.kind}{of}: {error.message}"))
            if error.hint:
                parts.append(Padding(shown(f"next: {error.hint}"), (0, 0, 0, 2)))
    return [Text("\nwhat went wrong", style="bold"), *parts] if parts else []


def _others(held: Sequence[Held]) -> list[RenderableType]:
    """What is kept and not used now, each with what differs."""
    present = next((one.description for one in held if one.present), {})
    rows = [
        (f"{one.captions:,}", f"{one.scores:,}", _difference(present, one.description))
        for one in held
        if not one.present
    ]
    return [table("\nkept of other settings, not used", ("captions", "scores", "which"), rows, left=3)] if rows else []


def _difference(present: dict[str, Any], other: dict[str, Any]) -> str:
    names = [name for name in sorted({*present, *other}) if present.get(name) != other.get(name)]
    return ", ".join(f"{name} {_value(other.get(name))}" for name in names)


def _numbers(run: Listed) -> tuple[str, str, str]:
    samples = "" if run.samples is None else f"{run.samples:,}"
    done = "" if run.done is None else f"{run.done:,} of {run.total:,}"
    return samples, done, to_the_minute(run.last) if run.last else ""


def _of(run: Listed) -> str:
    named = [run.model, run.data if run.data != run.model else None, run.scorer, run.edit]
    return ", ".join(filter(None, named))


def _style(state: str) -> str:
    return _STYLES.get(state, "bold red")


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(part)}" for name, part in value.items() if part is not None)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _plain(text: str) -> str:
    """Text of someone else's in a `Text`, which reads no markup."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
