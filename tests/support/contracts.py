"""Contracts, run on plugins that are right and on plugins that break one promise each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from headprune.testing.check import check
from headprune.testing.contract import Contract

Wrong = Mapping[str, Iterable[type]]
"""By the name of a contract's test: classes that fail it, and only it. Their docstrings say what is wrong with them."""


def outcomes(contract: type[Contract], **fixtures: Callable[[], Any]) -> dict[str, str]:
    """By the name of each test: `kept`, `broken` or `left out`. `fixtures` are called anew for each test."""
    return {verdict.test: verdict.outcome for verdict in check(contract, **fixtures)}


def promises(contract: type[Contract]) -> set[str]:
    """The names of its tests."""
    return {name for name in dir(contract) if name.startswith("test")}


def each(wrong: Wrong) -> list[Any]:
    """The parameters `promise` and `culprit` of a test that is run with every class of the table."""
    return [pytest.param(test, culprit, id=culprit.__name__) for test, those in wrong.items() for culprit in those]


def assert_breaks_only(promise: str, contract: type[Contract], **fixtures: Callable[[], Any]) -> None:
    """One test is broken, the others are kept or left out."""
    broken = {verdict.test: verdict.why for verdict in check(contract, **fixtures) if verdict.outcome == "broken"}
    assert broken.keys() == {promise}, broken
    assert broken[promise]
