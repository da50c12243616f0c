"""What every edit promises, and what this one does."""

from __future__ import annotations

import pytest
from headprune.testing import EditContract

from headprune_placeholder.edit import (
    Placeholder,
    PlaceholderSettings,
)


class TestContract(EditContract):
    """Each promise is a test that is inherited: nothing else is to be written here."""

    @pytest.fixture
    def edit(self) -> Placeholder:
        return Placeholder()


def test_only_the_variants_own_head_is_changed() -> None:
    edit = Placeholder(PlaceholderSettings(factor=0.5))
    assert edit.coefficients([2, 0], total=3).tolist() == [[1, 1, 0.5], [0.5, 1, 1]]
