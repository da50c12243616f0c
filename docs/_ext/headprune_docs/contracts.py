"""The contracts: what each kind of plugin promises, one test a promise."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import headprune.testing
from headprune.testing.contract import Contract
from headprune_docs.docstrings import sentence
from headprune_docs.rst import code, definitions, directive, page, prose

_INTRODUCTION = """\
Subclass a contract in your tests, override its fixture, and every promise is checked. How to, by kind:
:doc:`/howto/index`. A promise is departed from with a stated reason, or not at all."""


def contracts() -> dict[str, type]:
    """The public contracts by name."""
    named = {name: getattr(headprune.testing, name) for name in headprune.testing.__all__}
    return {name: value for name, value in named.items() if inspect.isclass(value) and issubclass(value, Contract)}


def promises(contract: type) -> dict[str, str]:
    """The tests that a subclass inherits, bases first, with what each promises."""
    return {name: _said(value) for name, value in _members(contract) if name.startswith("test")}


def fixtures(contract: type) -> dict[str, str]:
    """What a subclass overrides, with what it should give."""
    return {name: _said(value) for name, value in _members(contract) if type(value).__name__ == _FIXTURE}


_FIXTURE = "FixtureFunctionDefinition"  # pytest's, which has no public name


def contract_pages() -> dict[str, str]:
    """One page."""
    others = [name for name in headprune.testing.__all__ if name not in contracts()]
    rest = [directive("autofunction", f"headprune.testing.{name}") for name in others]
    shown = [_shown(name, contract) for name, contract in contracts().items()]
    return {"contracts.rst": page("Contracts", _INTRODUCTION, *shown, *rest)}


def _shown(name: str, contract: type) -> str:
    above = [other for other in contracts().values() if other is not contract and issubclass(contract, other)]
    kept = {test for other in above for test in promises(other)}
    also = [
        f"Every promise of :py:class:`{other.__name__} <headprune.testing.{other.__name__}>`, too." for other in above
    ]
    own = ((test, said) for test, said in promises(contract).items() if test not in kept)
    return directive(
        "autoclass",
        f"headprune.testing.{name}",
        directive("rubric", "Fixtures to override"),
        definitions((code(fixture), prose(sentence(said))) for fixture, said in fixtures(contract).items()),
        directive("rubric", "Promises"),
        *also,
        definitions((code(test), prose(sentence(said))) for test, said in own),
    )


def _members(contract: type) -> Iterator[tuple[str, Any]]:
    """What a contract and its bases define, each name once, as the last of them defines it."""
    found: dict[str, Any] = {}
    for base in reversed(contract.__mro__):
        found |= vars(base)
    yield from found.items()


def _said(value: Any) -> str:
    return " ".join((value.__doc__ or "").split()) if value is not None else ""
