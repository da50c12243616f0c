"""What every listener promises, and what this one does."""

from __future__ import annotations

import headprune
import pytest
from headprune.testing import ListenerContract

from headprune_placeholder.listener import (
    Placeholder,
    PlaceholderSettings,
)


class TestContract(ListenerContract):
    """Each promise is a test that is inherited: nothing else is to be written here."""

    @pytest.fixture
    def listener(self) -> Placeholder:
        return Placeholder()


def test_the_best_heads_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    heads = tuple(headprune.Interval(mean, 0, 1) for mean in (0.25, 0.75, 0.5))
    scored = headprune.LayerScored(4, importance=heads, alpha=heads)
    settings = PlaceholderSettings(most=2)
    Placeholder(settings).layer_scored(scored)
    said = capsys.readouterr()
    assert said.err.endswith("layer 4: heads 1 (0.750), 2 (0.500)\n")
    assert not said.out
