"""The command line, from typer's own definitions: every command, argument and option with its help."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer
from typer.main import get_command

import headprune.errors
from headprune.errors import ExitCode
from headprune_docs.rst import code, definitions, directive, page, prose, section


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument or option.

    Attributes:
        words: as it is typed, `--samples <int>`; of an argument, its name.
        help: what it says of itself, with its default; empty where it says nothing.
        is_option: or an argument.
    """

    words: str
    help: str
    is_option: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command, or a group of them.

    Attributes:
        words: `headprune patch show`.
        short: what the list of commands says of it.
        help: what it says of itself.
        usage: how it is called.
        parameters: its own, arguments first; `--help` left out, which all have.
        commands: of a group.
    """

    words: str
    short: str
    help: str
    usage: str
    parameters: tuple[Parameter, ...]
    commands: tuple[Command, ...]

    def __iter__(self) -> Iterator[Command]:
        """This command and all below it."""
        yield self
        for command in self.commands:
            yield from command


def command_line(app: typer.Typer) -> Command:
    """The tree of commands of `app`, headprune's own or one that is like it."""
    return _command(get_command(app), "headprune", None)


def command_pages(root: Command) -> dict[str, str]:
    """A page for each command of the first level, and one that leads to them."""
    names = {command.words: command.words.split()[-1] for command in root.commands}
    # What typer shows of a command in `headprune --help`.
    listed = [f":doc:`{command.words} <{names[command.words]}>` - {prose(command.short)}" for command in root.commands]
    pages = {
        "commands/index.rst": page(
            "Commands",
            f"{prose(root.help)} Every command tells the same with ``--help``, or ``-h``.",
            *_body(root),
            "\n".join(f"- {line}" for line in listed),
            section("Exit codes", definitions(_exit_codes())),
            directive("toctree", "", "\n".join(names.values()), hidden=""),
        )
    }
    for command in root.commands:
        below = [section(part.words, prose(part.help), *_body(part)) for part in [*command][1:]]
        pages[f"commands/{names[command.words]}.rst"] = page(
            command.words, prose(command.help), *_body(command), *below
        )
    return pages


def _exit_codes() -> Iterator[tuple[str, str]]:
    """What a process ends with, and by which errors."""
    errors = [value for value in vars(headprune.errors).values() if inspect.isclass(value)]
    for exit_code in ExitCode:
        raised = [error for error in errors if getattr(error, "exit_code", None) is exit_code]
        named = ", ".join(f":py:exc:`headprune.{error.__name__}`" for error in raised)
        yield code(str(exit_code.value)), f"{exit_code.name.capitalize()}{': ' if named else ''}{named}."


def _body(command: Command) -> list[str]:
    usage = directive("code-block", "text", command.usage)
    listed = [directive("option", one.words, prose(one.help)) for one in command.parameters]
    return [usage, directive("program", command.words), *listed]


def _command(found: Any, name: str, above: typer.Context | None) -> Command:
    # typer brings its own copy of click since 0.26, whose classes have no public home: hence Any.
    context = typer.Context(found, info_name=name, parent=above)
    usage = " ".join(found.get_usage(context).removeprefix("Usage: ").split())
    parameters = [_parameter(one, context) for one in found.params if not one.hidden]
    below = getattr(found, "commands", {})
    return Command(
        words=context.command_path,
        short=found.get_short_help_str(limit=200),
        help=" ".join((found.help or "").split()),
        usage=usage,
        parameters=tuple(sorted(parameters, key=lambda one: one.is_option)),
        commands=tuple(_command(command, key, context) for key, command in below.items() if not command.hidden),
    )


def _parameter(one: Any, context: typer.Context) -> Parameter:
    is_option = one.param_type_name == "option"
    words, text = one.get_help_record(context)
    return Parameter(words if is_option else one.metavar or one.name, " ".join(text.split()), is_option)
