"""Nothing that a user can type, set, call or implement goes without a word of what it is for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
import typer
from headprune_docs.commands import command_line
from headprune_docs.contracts import contracts, fixtures, promises
from headprune_docs.docstrings import attributes
from headprune_docs.fields import fields
from headprune_docs.hooks import hooks
from headprune_docs.names import Name, public_names
from headprune_docs.recipe import tables
from headprune_docs.reference import pages
from headprune_docs.settings import offers
from pydantic import BaseModel, Field
from typer.testing import CliRunner

import headprune
import headprune.testing
from headprune.cli.app import app
from headprune.hooks import specs
from headprune.hooks.catalogue import KINDS, unmet_requirements
from headprune.recipes import Recipe, resolve
from headprune.testing import ScorerContract
from headprune.testing.contract import Contract

Told = Mapping[str, str]
"""What is said of each thing, by its name."""


def of_commands(typer_app: typer.Typer) -> Told:
    root = command_line(typer_app)
    told = {f"{one.words} (in the list)": one.short for command in root for one in command.commands}
    for command in root:
        told[command.words] = command.help
        told |= {f"{command.words} {one.words.split(',')[0]}": one.help for one in command.parameters}
    return told


def of_settings(model: type[BaseModel], descriptions: Mapping[str, str]) -> Told:
    return {field.name: field.description for field in fields(model, descriptions)}


def of_recipe(model: type[BaseModel]) -> Told:
    below = list(tables(model))
    within = {name.rpartition(".")[2] for name, _ in below}
    told = {
        f"{name}.{key}".lstrip("."): text
        for name, table in below
        for key, text in of_settings(table, {}).items()
        if key not in within
    }
    return {**told, **{f"[{name}]": table.__doc__ or "" for name, table in below}}


def of_plugins() -> Told:
    told = {}
    for kind in KINDS:
        for offer in offers(kind):
            assert offer.cls is not None or unmet_requirements(offer.spec), offer
            told[f"{kind} {offer.spec.name}"] = offer.spec.summary
            told |= {f"{kind} {offer.spec.name}: {field.name}": field.description for field in offer.settings}
    return told


def of_hooks() -> Told:
    told = {name: hook.__doc__ or "" for name, hook in hooks().items()}
    for kind, spec in KINDS.items():
        said = attributes(spec)
        told |= {f"{kind}: {name}": said.get(name, "") for name in spec.__match_args__}
    return told


def of_names(names: list[Name]) -> Told:
    """Names, and the public methods and properties of classes: each says what it is, or a base of its class does."""
    told = {name.name: name.doc for name in names}
    for name in names:
        if inspect.isclass(name.value):
            for member, value in vars(name.value).items():
                if member[0] != "_" and (inspect.isroutine(value) or isinstance(value, property)):
                    told[f"{name.name}.{member}"] = inspect.getdoc(getattr(name.value, member)) or ""
    return told


def of_contracts(named: Mapping[str, type]) -> Told:
    told = {}
    for name, contract in named.items():
        told[name] = contract.__doc__ or ""
        told |= {f"{name}.{each}": text for each, text in {**promises(contract), **fixtures(contract)}.items()}
    return told


def silent(told: Told) -> list[str]:
    return [name for name, text in told.items() if not text.strip()]


def of_testing() -> Told:
    others = {name: inspect.getdoc(getattr(headprune.testing, name)) or "" for name in headprune.testing.__all__}
    return {**others, **of_contracts(contracts())}


ALL: dict[str, tuple[Callable[[], Told], int]] = {
    "commands": (lambda: of_commands(app), 300),
    "recipe": (lambda: of_recipe(Recipe), 50),
    "plugins": (of_plugins, 60),
    "hooks": (of_hooks, 20),
    "names": (lambda: of_names(public_names()), 100),
    "testing": (of_testing, 40),
}


@pytest.mark.parametrize("part", ALL)
def test_everything_says_what_it_is_for(part: str):
    told, at_least = ALL[part]
    assert silent(told()) == []
    assert len(told()) >= at_least, "much less was looked at than there is"


# Each part with something in it that says nothing: what is found must be just that.
bent = typer.Typer(help="Bent.")


@bent.command("wordy", short_help="In the list.")
def wordy(
    told: Annotated[str, typer.Option("--told", help="Told.")] = "",
    untold: Annotated[str, typer.Option("--untold", show_default=False)] = "",
) -> None:
    """Says what it is for."""


@bent.command("mute")
def mute() -> None:
    pass


class BentSettings(headprune.Settings):
    """Settings of nothing.

    Attributes:
        told, told_too: both at once,
            over two lines.
    """

    told: int = 1
    told_too: int = 2
    told_by_itself: int = Field(3, description="By itself.")
    untold: int = 4


class BentTable(BaseModel):
    """A table."""

    untold: int = 1


class BentRecipe(BaseModel):
    """A recipe."""

    told: int = Field(1, description="Told.")
    table: BentTable = BentTable()


class BentScorer(headprune.Scorer):
    def score(self, batch: Any) -> list[float]:  # told of by headprune.Scorer
        return []

    def untold(self) -> None:
        pass


class BentContract(ScorerContract):
    """A contract."""

    def test_untold(self) -> None:
        pass


BENT: dict[str, tuple[Callable[[], Told], list[str]]] = {
    "option and command": (
        lambda: of_commands(bent),
        ["headprune mute (in the list)", "headprune wordy --untold <str>", "headprune mute"],
    ),
    "setting": (lambda: of_settings(BentSettings, attributes(BentSettings)), ["untold"]),
    "recipe": (lambda: of_recipe(BentRecipe), ["table.untold"]),
    "name": (
        lambda: of_names([Name("BentScorer", __name__, BentScorer)]),
        ["BentScorer", "BentScorer.untold"],
    ),
    "contract": (lambda: of_contracts({"BentContract": BentContract}), ["BentContract.test_untold"]),
}


@pytest.mark.parametrize("part", BENT)
def test_what_says_nothing_is_found(part: str):
    told, untold = BENT[part]
    assert silent(told()) == untold


def test_a_hook_that_says_nothing_is_found(monkeypatch: pytest.MonkeyPatch):
    @specs.hookspec
    def headprune_bent() -> list[Any]:
        return []

    monkeypatch.setattr(specs, "headprune_bent", headprune_bent, raising=False)
    monkeypatch.setattr(specs.Spec, "__doc__", "Without a word of its fields.")
    assert {"headprune_bent", "scorer: name", "adapter: summary"} <= set(silent(of_hooks()))


# And it is on the pages: looked for by other means than those that wrote them.
@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return pages()


def test_every_option_of_the_help_is_on_its_page(written: dict[str, str]):
    seen = 0
    for words, text in _helps([]):
        page = written[f"commands/{words[0]}.rst" if words else "commands/index.rst"]
        below = page.partition(f".. program:: headprune {' '.join(words)}".rstrip() + "\n")[2]
        mine = below.partition(".. program::")[0]
        options = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, flags=re.M)) - {"--help"}
        assert options == set(re.findall(r"^.. option:: (--[\w-]+)", mine, flags=re.M)), words
        seen += len(options)
    assert seen > 200


def _helps(words: list[str]) -> Iterator[tuple[list[str], str]]:
    """What `--help` prints of every command, one after another."""
    text = CliRunner().invoke(app, [*words, "--help"]).stdout
    yield words, text
    listed = text.partition("\nCommands:\n")[2]
    for name in re.findall(r"^  (\w[\w-]*)", listed, flags=re.M):
        yield from _helps([*words, name])


def test_every_setting_is_on_its_page(written: dict[str, str]):
    for dotted in resolve(None, {"model": "some-model"}).sources:
        assert f".. confval:: {dotted}\n" in written["recipe.rst"]
    for kind in KINDS:
        for offer in offers(kind):
            assert f"\n\n{offer.spec.name}\n---" in written[f"plugins/{kind}s.rst"]
            for name in getattr(offer.cls, "Settings", SimpleNamespace(model_fields=())).model_fields:
                assert f".. confval:: {offer.spec.name}.{name}\n" in written[f"plugins/{kind}s.rst"]


def test_every_name_is_on_a_page(written: dict[str, str]):
    text = "\n".join(written.values())
    for name in headprune.__all__:
        shown = re.findall(rf"^.. (?:auto\w+:: headprune\.|py:data:: ){name}$", text, flags=re.M)
        assert len(shown) == 1, (name, shown)
    for name in headprune.testing.__all__:
        assert f":: headprune.testing.{name}\n" in written["contracts.rst"]
    for name in (name for name in dir(specs) if name.startswith("headprune_")):
        assert f"autofunction:: headprune.hooks.specs.{name}\n" in written["hooks.rst"]


def test_every_promise_is_on_the_page_of_contracts(written: dict[str, str]):
    for name in headprune.testing.__all__:
        contract = getattr(headprune.testing, name)
        if inspect.isclass(contract) and issubclass(contract, Contract):
            for test in (test for test in dir(contract) if test.startswith("test")):
                assert f"``{test}``\n" in written["contracts.rst"], (name, test)
