"""What a new plugin is called: to its users, in Python, and where it is published."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib.util import find_spec

from headprune.errors import UsageError
from headprune.hooks.catalogue import KINDS, Catalogue
from headprune.hooks.specs import PROJECT

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a plugin that its users type as `name`, such as `colour-words`."""

    name: str

    @property
    def package(self) -> str:
        """What pip installs: `headprune-colour-words`."""
        return f"{PROJECT}-{self.name}"

    @property
    def module(self) -> str:
        """What Python imports: `headprune_colour_words`."""
        return f"{PROJECT}_{self.snake}"

    @property
    def snake(self) -> str:
        """The name as a part of Python's names: `colour_words`."""
        return self.name.replace("-", "_")

    @property
    def cls(self) -> str:
        """What its class is called, or what its classes' names begin with: `ColourWords`."""
        return "".join(part.capitalize() for part in self.name.split("-"))


def named(name: str) -> Names:
    """The names that follow from `name`.

    Raises:
        UsageError: it is none that a package, a module and a class can be called by.
    """
    if not _NAME.fullmatch(name) or name.startswith(f"{PROJECT}-"):
        close = "-".join(re.findall(r"[a-z0-9]+", name.lower().removeprefix(PROJECT)))
        advice = "lower-case letters and digits, a hyphen between words, a letter first"
        raise UsageError(
            f"{name!r} is no name for a plugin", f"{advice}: {close}" if _NAME.fullmatch(close) else advice
        )
    names = Names(name)
    if keyword.iskeyword(names.cls):
        raise UsageError(f"{name!r} is no name for a plugin: Python means {names.cls} otherwise", "choose another one")
    return names


def refuse_taken(names: Names, installed: Catalogue) -> None:
    """Raise UsageError where something of that name is installed: pip, Python or a user would mistake one for the
    other."""
    for plugin in installed.plugins:
        for spec in plugin.specs:
            if spec.name == names.name:
                (kind,) = (kind for kind, cls in KINDS.items() if type(spec) is cls)
                raise _taken(names, f"the {kind} of {plugin.package} is called that")
        if names.name == plugin.name or names.package == plugin.package:
            raise _taken(names, f"a plugin of {plugin.package} is called that")
    if find_spec(names.module) is not None:
        raise _taken(names, f"there is a module {names.module}")


def _taken(names: Names, why: str) -> UsageError:
    return UsageError(
        f"{names.name!r} is taken: {why}", "choose another name; headprune plugins list shows what there is"
    )
