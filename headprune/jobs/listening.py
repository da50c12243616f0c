"""A score run that the recipe's listener hears of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from headprune.errors import UsageError
from headprune.events import Progress, RunStarted
from headprune.hooks.catalogue import make_listener
from headprune.hooks.kinds import Listener
from headprune.hooks.listening import Listened, listened
from headprune.recipes.schema import Recipe
from headprune.scoring.engine import ModelFacts
from headprune.scoring.sampling import Drawn
from headprune.scoring.settings import ScoreSettings


def listened_score(
    recipe: Recipe,
    listener: Listener | None,
    facts: ModelFacts,
    drawn: Drawn,
    settings: ScoreSettings,
    progress: Callable[[Progress], None],
    folder: Path | None = None,
    resumed: bool = False,
) -> AbstractContextManager[Listened]:
    """The run as the recipe's listener hears of it; how far it is is told to `progress`, too."""
    started = RunStarted(
        folder=folder,
        settings=recipe.model_dump(mode="json", exclude_none=True),
        model=facts.ref,
        geometry=facts.geometry,
        scorer=settings.scorer_record(),
        edit=settings.edit_record(),
        sample_ids=tuple(sample.id for sample in drawn.samples),
        layers=settings.layers,
        resumed=resumed,
    )
    return listened(listener, str(recipe.listener), started, progress)


def listener_of(recipe: Recipe) -> Listener | None:
    """The listener that the recipe names, set up.

    Raises:
        UsageError: there are options and no listener. PluginError: it is unknown or broken.
    """
    if recipe.listener:
        return make_listener(recipe.listener, dict(recipe.listener_options))
    if recipe.listener_options:
        raise UsageError("there are options for a listener, and none is named", "--listener jsonl")
    return None
