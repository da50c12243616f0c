"""How each run was made, and the command that makes it again."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headprune.errors import HeadpruneError
from headprune.perspectives.run import Run
from headprune.report.scored import Scored
from headprune.report.subjects import Source


@dataclass(frozen=True, slots=True)
class Made:
    """A run: settings by name, the command, and its resolved recipe."""

    title: str
    facts: tuple[tuple[str, str], ...]
    command: str
    recipe: str


def made(source: Source) -> Made:
    """How a run was made.

    Raises:
        HeadpruneError: its recipe is missing.
    """
    if isinstance(source, Run):
        kind, facts = source.info.kind, _of_run(source)
    else:
        kind, facts = "score", _of_score(source)
    path = source.folder / "recipe.toml"
    try:
        recipe = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HeadpruneError(f"the recipe of {source.folder} cannot be read", "make the run again") from error
    words = ["headprune", kind, "--recipe", str(path)]
    if isinstance(source, Run) and source.info.patch:
        words += ["--patch", "PATCH"]
    command = shlex.join([*words, "--out", str(_again(source.folder))])
    known = tuple((name, str(value)) for name, value in facts.items() if value is not None)
    return Made(f"{source.folder.name}: headprune {kind}", known, command, recipe)


def _again(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-again")


def _of_run(run: Run) -> dict[str, Any]:
    info = run.info
    return {
        "model": info.model.name,
        "model revision": info.model.revision,
        "back end": info.model.backend,
        "tower": info.model.geometry,
        "fingerprint of the tower's weights": info.model.fingerprint,
        "data": info.data,
        "pictures": f"{len(info.samples)}, seed {info.seed}, {info.left_out} left out",
        "layers (0-based)": ", ".join(map(str, info.layers)),
        "scorer": info.scorer,
        "generation": _plain(info.generation),
        "patch": f"scale {info.patch.scale}, prune {info.patch.prune or 'none'}" if info.patch else None,
        "patch (sha256), PATCH in the command": info.patch.digest if info.patch else None,
        "versions": _versions(info.versions),
        "seconds": f"{info.seconds:.1f}",
    }


def _of_score(scored: Scored) -> dict[str, Any]:
    info = scored.patch.info
    return {
        "model": info.model.name,
        "model revision": info.model.revision,
        "back end": info.model.backend,
        "tower": info.model.geometry,
        "fingerprint of the tower's weights": info.model.fingerprint,
        "data": info.dataset,
        "pictures": f"{len(info.sample_ids)}, seed {info.seed}",
        "layers (0-based)": ", ".join(map(str, scored.patch.scored)),
        "scorer": _plain(info.scorer),
        "edit": _plain(info.edit),
        "decoded at": info.decode_at,
        "schedule": info.schedule,
        "temperature": f"{info.temperature:g}",
        "generation": _plain(info.generation),
        "patch (sha256)": scored.patch.digest(),
        "versions": _versions(info.versions),
    }


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _plain(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items())
