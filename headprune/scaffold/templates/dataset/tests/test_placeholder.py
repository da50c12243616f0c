"""What every dataset promises, and what this one does."""

from __future__ import annotations

from pathlib import Path

import headprune
import pytest
from headprune.testing import DatasetContract

from headprune_placeholder.dataset import Placeholder

EXAMPLE = Path(__file__).parent.parent / "example" / "captions.txt"


class TestContract(DatasetContract):
    """Each promise is a test that is inherited: nothing else is to be written here."""

    @pytest.fixture
    def source(self) -> tuple[Placeholder, str]:
        return Placeholder(), str(EXAMPLE)

    @pytest.fixture
    def entries(self) -> int:
        return 4


def test_lines_of_one_picture_are_its_captions() -> None:
    first = Placeholder().open(str(EXAMPLE)).samples[0]
    assert (first.id, len(first.captions)) == ("scene-1.png", 2)


def test_a_line_without_a_caption_is_named(tmp_path: Path) -> None:
    file = tmp_path / "captions.txt"
    file.write_text("one.png\ta dog\ntwo.png\n")
    with pytest.raises(headprune.DataError, match="line 2"):
        Placeholder().open(str(file))
