"""What every adapter promises, and what this one does."""

from __future__ import annotations

from pathlib import Path

import headprune
import pytest
from headprune.testing import AdapterContract

from headprune_placeholder.adapter import PlaceholderBackend


class TestContract(AdapterContract):
    """Each promise is a test that is inherited: nothing else is to be written here."""

    @pytest.fixture
    def source(self) -> tuple[PlaceholderBackend, str]:
        return PlaceholderBackend(), "tiny"


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    request = headprune.LoadRequest(str(tmp_path))
    with pytest.raises(headprune.ModelError, match="is no folder with a "):
        PlaceholderBackend().load(request)
