"""Runs of the demo that listeners hear of: one that ends well, one that fails, one that somebody stops."""

from __future__ import annotations

from pathlib import Path

from headprune import Geometry, ModelRef, Patch, RunStarted, load_patch
from tests.cli.conftest import Place

LAYERS = (6, 7)
_PLUGINS = '''
import headprune

class Fails(headprune.Scorer):
    def score(self, batch):
        raise ZeroDivisionError("no such luck")

class Stops(headprune.Scorer):
    def score(self, batch):
        raise KeyboardInterrupt

class Odd(headprune.Edit):
    """Fails before a caption is made."""

    comparable = "within-layer"
    removes = False

    def variants(self, capture, heads, context):
        raise ZeroDivisionError("no such luck")
'''
_DEMO = ("score", "demo", "--data", "demo", "--samples", 4, "--layers", "6,7", "--max-new-tokens", 8)
WELL = (*_DEMO, "--scorer", "exact", "--scorer-option", "against=reference")
FAILS, STOPS = ((*_DEMO, "--scorer", f"./plugins.py:{name}") for name in ("Fails", "Stops"))

STARTED = RunStarted(
    folder=None,
    settings={"model": "demo", "samples": 4},
    model=ModelRef("demo", "demo"),
    geometry=Geometry(8, 8, 64, 8, cls=True),
    scorer={"name": "exact"},
    edit={"name": "isolate"},
    sample_ids=("a", "b"),
    layers=LAYERS,
)


def furnished(folder: Path) -> Place:
    """A place with plugins that do not do well."""
    (folder / "plugins.py").write_text(_PLUGINS)
    return Place(folder)


def heard_by(listener: str, *options: str, out: str = "run") -> tuple[str, ...]:
    """Words that have a listener hear the run."""
    return (
        "--listener",
        listener,
        *(word for option in options for word in ("--listener-option", option)),
        "--out",
        out,
    )


def patch_in(place: Place, run: str = "run") -> Patch:
    return load_patch(place / run / "patch.safetensors")


def heads_of(patch: Patch, layer: int) -> dict[str, list[float]]:
    """Importance and coefficient of each head of a layer."""
    return {name: [float(value) for value in getattr(patch, name)[layer]] for name in ("importance", "alpha")}
