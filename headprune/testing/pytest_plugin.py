"""Loaded by pytest wherever headprune is installed; light, and without a say in tests that are no contract's."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from headprune.testing import MODULES

pytest.register_assert_rewrite(*MODULES)

# What pytest itself writes where nobody gave a reason.
_NO_REASON = ("", "Skipped", "unconditional skip", "[NOTRUN]")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a contract's test that was skipped, or expected to fail, without a reason."""
    report = yield
    of_a_contract = getattr(getattr(item, "cls", None), "headprune_contract", False)
    if of_a_contract and report.skipped and reason_of(report) in _NO_REASON:
        report.outcome = "failed"
        if hasattr(report, "wasxfail"):
            del report.wasxfail  # pytest counts no failure that was expected
        report.longrepr = f"{item.name} of a contract is skipped without a reason: state one, or keep the promise"
    return report


def reason_of(report: pytest.TestReport) -> str:
    """Why a test was skipped, or expected to fail."""
    if hasattr(report, "wasxfail"):
        return str(report.wasxfail).removeprefix("reason: ").strip()
    # (file, line, "Skipped: reason")
    text = report.longrepr[-1] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ").strip()
