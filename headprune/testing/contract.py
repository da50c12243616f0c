"""What all contracts share: a promise is departed from with a stated reason, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import pytest

from headprune.errors import UsageError
from headprune.hooks.kinds import Configurable

Test = TypeVar("Test", bound=Callable[..., Any])


class Contract:
    """Base of the contracts. Its tests are promises: a subclass inherits them and overrides fixtures only.

    A test checks one promise, which its docstring states, and fails with a message that says what was found instead.
    One that is overridden, or set to None, ends in a TypeError unless it is marked `@departs("reason")`; one that is
    skipped without a reason fails.
    """

    headprune_contract: ClassVar[bool] = True

    def __init_subclass__(cls, **others: Any) -> None:
        super().__init_subclass__(**others)
        promised = {name for base in cls.__mro__[1:] for name in vars(base) if name.startswith("test")}
        for name in sorted(promised & vars(cls).keys()):
            if not getattr(vars(cls)[name], "departs_because", ""):
                raise TypeError(
                    f"{cls.__name__}.{name} overrides a promise of the contract: leave it out, "
                    'or mark it @headprune.testing.departs("reason")'
                )


def assert_nothing_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing went to stdout since the test began, or since this was asked before."""
    printed = capfd.readouterr().out
    assert not printed, f"printed: {printed[:80]!r}"


def departs(reason: str) -> Callable[[Test], Test]:
    """Mark a test that stands in place of a contract's own, for a stated reason.

    Raises:
        ValueError: no reason is stated.
    """
    if not reason.strip():
        raise ValueError("state the reason why this departs from the contract")

    def mark(test: Test) -> Test:
        test.departs_because = reason  # type: ignore[attr-defined]
        return test

    return mark


def assert_unknown_option_is_refused(plugin: type[Configurable]) -> None:
    """An option that the plugin does not know ends in a usage error that names it."""
    try:
        plugin.configured({"no_such_option": "1"})
    except UsageError as error:
        assert "no_such_option" in str(error), f"the error does not name the option: {error}"
    else:
        raise AssertionError("the option no_such_option, which there is not, is taken in silence")
