"""The edits of METHOD.md keep the contract that outsiders' edits are held to."""

from __future__ import annotations

import pytest

from headprune import Edit
from headprune.edits.heads import Ablate, Isolate, IsolateDirect, MeanAblate, Scale
from headprune.testing import EditContract


class TestIsolate(EditContract):
    @pytest.fixture
    def edit(self) -> Edit:
        return Isolate()


class TestIsolateDirect(EditContract):
    @pytest.fixture
    def edit(self) -> Edit:
        return IsolateDirect()


class TestAblate(EditContract):
    @pytest.fixture
    def edit(self) -> Edit:
        return Ablate()


class TestMeanAblate(EditContract):
    @pytest.fixture
    def edit(self) -> Edit:
        return MeanAblate()


class TestScale(EditContract):
    @pytest.fixture
    def edit(self) -> Edit:
        return Scale()
