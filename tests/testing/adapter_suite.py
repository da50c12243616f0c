"""The contract of back ends as an author writes it: `source`, and nothing else. Run by test_adapter_contract.py."""

from __future__ import annotations

import pytest

from headprune.testing import AdapterContract


class TestBent(AdapterContract):
    @pytest.fixture
    def source(self, bent):
        return bent
