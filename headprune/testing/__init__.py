"""Contracts for plugin authors: subclass one in your tests, override its fixture, and every promise is checked.

    from headprune.testing import ScorerContract

    class TestMyScorer(ScorerContract):
        @pytest.fixture
        def scorer(self):
            return MyScorer()

Raters of layers have `LayerRaterContract`, scorers of logits and of gradients `LogitScorerContract` and
`GradientScorerContract`, edits `EditContract`, dataset readers `DatasetContract`, back ends of models
`AdapterContract`, listeners `ListenerContract`. A promise is overridden or skipped only with a reason: `departs`.
Needs pytest (`pip install 'headprune[plugins]'`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headprune.testing.adapters import AdapterContract as AdapterContract
    from headprune.testing.contract import departs as departs
    from headprune.testing.datasets import DatasetContract as DatasetContract
    from headprune.testing.edits import EditContract as EditContract
    from headprune.testing.likelihoods import GradientScorerContract as GradientScorerContract
    from headprune.testing.likelihoods import LogitScorerContract as LogitScorerContract
    from headprune.testing.listeners import ListenerContract as ListenerContract
    from headprune.testing.raters import LayerRaterContract as LayerRaterContract
    from headprune.testing.scorers import ScorerContract as ScorerContract

# Imported when first used: pytest loads `pytest_plugin` of this package in every session, and most need no torch.
_HOME_OF = {
    "AdapterContract": "headprune.testing.adapters",
    "DatasetContract": "headprune.testing.datasets",
    "EditContract": "headprune.testing.edits",
    "GradientScorerContract": "headprune.testing.likelihoods",
    "LayerRaterContract": "headprune.testing.raters",
    "ListenerContract": "headprune.testing.listeners",
    "LogitScorerContract": "headprune.testing.likelihoods",
    "ScorerContract": "headprune.testing.scorers",
    "departs": "headprune.testing.contract",
}

# Those in which an assert tells what it compared.
_PARTS = {f"headprune.testing.{name}" for name in ("near", "patches", "places", "towers", "words")}
MODULES = tuple(sorted({*_HOME_OF.values(), *_PARTS}))
__all__ = sorted(_HOME_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'headprune.testing' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
