"""What was measured of a patch, kept in the run that made it, so that the model card of an export can tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headprune.errors import HeadpruneError, notice
from headprune.patch.patch import Patch, ScaleRule
from headprune.runs.store import FILE, RunStore, canonical


def keep_evaluation(
    patch_path: Path, patch: Patch, scale: ScaleRule, prune: str | None, document: Mapping[str, Any]
) -> Path | None:
    """Keep an evaluation of `patch` in the run folder that it lies in; None where it lies in none.

    The result is on the screen by now: a store that cannot be written is announced, and is no error.
    """
    folder = patch_path.parent
    if not (folder / FILE).is_file():
        return None
    try:
        with RunStore.open(folder, create=False) as store:
            store.set_meta(_key(patch, scale, prune), canonical(dict(document)))
    except HeadpruneError as error:
        notice(f"the evaluation is not kept in the run: {error}")
        return None
    return folder


def kept_evaluation(patch_path: Path, patch: Patch, scale: ScaleRule, prune: str | None) -> dict[str, Any] | None:
    """The last evaluation of `patch` under this scale and pruning rule, if its run folder has one."""
    folder = patch_path.parent
    if not (folder / FILE).is_file():
        return None
    try:
        with RunStore.open(folder, create=False) as store:
            text = store.meta(_key(patch, scale, prune))
    except HeadpruneError as error:
        notice(f"the run beside the patch cannot be read, so the model card tells no evaluation: {error}")
        return None
    found: dict[str, Any] | None = json.loads(text) if text else None
    return found


def _key(patch: Patch, scale: ScaleRule, prune: str | None) -> str:
    return canonical({"evaluation of": patch.digest(), "scale": scale, "prune": prune})
