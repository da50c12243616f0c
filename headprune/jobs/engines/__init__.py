"""What runs the sweep: this process, or Ray's workers on one machine or many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headprune.errors import UsageError, notice
from headprune.jobs.opening import load_for
from headprune.recipes.schema import Recipe
from headprune.scoring.engine import Engine
from headprune.scoring.worker import LocalEngine


@contextmanager
def engine_for(recipe: Recipe) -> Iterator[Engine]:
    """The recipe's engine, its model loaded; let go of at the end.

    Raises:
        HeadpruneError: the model cannot be loaded, or the engine cannot be had.
    """
    if recipe.engine == "local":
        if recipe.ray != Recipe.model_fields["ray"].default:
            notice("the engine is local: settings for Ray play no part (--engine ray)")
        yield LocalEngine(load_for(recipe))
        return
    try:
        from headprune.jobs.engines.ray_engine import RayEngine
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise UsageError("engine ray needs Ray, which is not installed", "pip install 'headprune[ray]'") from error
    with RayEngine(recipe) as engine:
        yield engine
