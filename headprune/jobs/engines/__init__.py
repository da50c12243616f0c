"""What runs the sweep: this process, or Ray's workers on one machine or many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
    yield LocalEngine(load_for(recipe))
