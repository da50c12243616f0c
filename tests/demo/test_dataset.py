"""The picture set: sizes, ids, five gold captions, and the same entries in any range."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headprune import DatasetReader
from headprune.demo.dataset import HELD_OUT, held_out
from headprune.demo.drawing import SIDE
from headprune.demo.reader import DemoReader
from headprune.testing import DatasetContract


class TestContract(DatasetContract):
    @pytest.fixture
    def source(self) -> tuple[DatasetReader, str]:
        return DemoReader(), ""

    @pytest.fixture
    def entries(self) -> int:
        return HELD_OUT


def test_entries() -> None:
    entries = held_out()
    assert len(entries) == HELD_OUT >= 400
    assert entries[7].id == "scene-0007"
    assert len({entry.id for entry in entries}) == HELD_OUT
    assert all(len(set(entry.captions)) == 5 for entry in entries)


def test_an_entry_does_not_depend_on_the_range() -> None:
    assert held_out(10)[7] == held_out(1, start=7)[0]


def test_pictures_render_when_asked() -> None:
    entry = held_out(1)[0]
    assert entry.picture().size == (SIDE, SIDE)
    assert entry.picture(256).size == (256, 256)


def test_importing_the_demo_loads_nothing_heavy() -> None:
    code = "import headprune.demo, sys; print([name for name in ('torch', 'numpy', 'PIL') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
