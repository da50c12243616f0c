"""headprune runs resume: a run of `headprune score` goes on from its own folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from headprune.errors import HeadpruneError, UsageError, notice
from headprune.perspectives.run import holds_run, load_info
from headprune.recipes import Resolved, resolve
from headprune.runs.opening import BROKEN, FILE, connect
from headprune.runs.overview import holds_score_run


def recipe_of_run(folder: Path, overrides: Mapping[str, Any], allow_local_plugins: bool) -> Resolved:
    """The recipe that a run goes on with: its own, but for what does not change its results.

    Args:
        folder: of the run.
        overrides: nested like a recipe; None stands for what is not given anew.
        allow_local_plugins: whether the recipe is trusted, as `resolve` says.

    Raises:
        UsageError: it is no run of `headprune score`, or its recipe says what needs trust.
        HeadpruneError: there is no run.
    """
    if not holds_score_run(folder):
        if holds_run(folder):
            kind = load_info(folder).kind
            raise UsageError(
                f"{folder} is a run of headprune {kind}, which begins anew each time",
                f"headprune {kind} --recipe {folder / 'recipe.toml'} --out ANOTHER",
            )
        raise HeadpruneError(f"{folder} holds no run", "headprune runs list FOLDER finds those below a folder")
    recipe = folder / "recipe.toml"
    if not recipe.is_file():
        raise HeadpruneError(
            f"{folder} holds no recipe.toml to go on with",
            f"give the run's headprune score command with --out {folder}",
        )
    trusted = resolve(recipe, overrides, allow_local_plugins=True)
    try:
        return resolve(recipe, overrides, allow_local_plugins) if not allow_local_plugins else trusted
    except UsageError as error:
        # What is not allowed to a recipe that somebody else wrote; anything else was refused above.
        hint = f"only where you trust it: headprune runs resume {folder} --allow-local-plugins"
        raise UsageError(error.message, hint) from error


@contextmanager
def where_it_began(folder: Path) -> Iterator[None]:
    """Within the context relative paths are taken from where the run in `folder` was first started."""
    began = _first_folder(folder)
    before = Path.cwd()
    if began is not None and began != before:
        if not began.is_dir():
            notice(f"{began}, where the run was started, is not there: relative paths are taken from {before}")
        else:
            os.chdir(began)
    try:
        yield
    finally:
        os.chdir(before)


def _first_folder(folder: Path) -> Path | None:
    if not (folder / FILE).is_file():  # killed before it had a store
        return None
    try:
        # As it stands: a store that is damaged elsewhere may tell.
        with closing(connect(folder / FILE)) as connection:
            found = connection.execute("SELECT folder FROM sessions ORDER BY id LIMIT 1").fetchone()
    except BROKEN:
        found = None
    if found is None:
        notice(f"where the run was started is not told: relative paths are taken from {Path.cwd()}")
        return None
    return Path(str(found[0]))
