"""What was measured of a patch, kept beside it in the run that made it, so that an export's model card can tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from headprune.errors import HeadpruneError, notice
from headprune.evaluation.table1 import Evaluation
from headprune.files import writing
from headprune.patch.patch import Patch, ScaleRule
from headprune.patch.prune import PruneRule
from headprune.report.scored import Measured
from headprune.runs.store import FILE


def keep_evaluation(
    patch_path: Path, patch: Patch, scale: ScaleRule, prune: str | None, document: Mapping[str, Any]
) -> Path | None:
    """Write an evaluation of `patch` into the run folder that it lies in; None where it lies in none.

    The result is on the screen by now: a folder that cannot be written is announced, and is no error.
    """
    if not (patch_path.parent / FILE).is_file():
        return None
    path = _place(patch_path, scale, prune)
    content = {"patch": patch.digest(), "scale": scale, "prune": prune, "evaluation": dict(document)}
    try:
        with writing(path) as beside:
            beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except HeadpruneError as error:
        notice(f"the evaluation is not kept in the run: {error}")
        return None
    return path


def kept_evaluation(patch_path: Path, patch: Patch, scale: ScaleRule, prune: str | None) -> dict[str, Any] | None:
    """The last evaluation of `patch` under this scale and pruning rule, if its run folder has one."""
    path = _place(patch_path, scale, prune)
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        made, evaluation = content["patch"], content["evaluation"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        notice(f"{path} cannot be read, so the model card tells no evaluation: {error}")
        return None
    found: dict[str, Any] | None = evaluation if made == patch.digest() else None
    return found


def kept_evaluations(patch_path: Path, patch: Patch) -> list[Measured]:
    """All evaluations of `patch` that its run folder has, one for each scale and pruning rule; announces those that
    cannot be read or that belong to another patch."""
    found = []
    for path in sorted(patch_path.parent.glob(f"{patch_path.stem}.evaluation-*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            document = content["evaluation"]
            evaluation = TypeAdapter(Evaluation).validate_python(document)
            scale, prune = TypeAdapter(tuple[ScaleRule, str | None]).validate_python(
                (content["scale"], content["prune"])
            )
            one = Measured(scale, prune, evaluation, int(document["excluded"]), str(document["scorer"]))
            same = content["patch"] == patch.digest()
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            notice(f"{path} cannot be read and is left out: {str(error).splitlines()[0]}")
            continue
        if same:
            found.append(one)
        else:
            notice(f"{path} is of another patch and is left out")
    return found


def _place(patch_path: Path, scale: ScaleRule, prune: str | None) -> Path:
    rule = PruneRule.parse(prune) if prune else "none"
    return patch_path.with_name(f"{patch_path.stem}.evaluation-{scale}-{rule}.json")
