"""The options of the plugins that come with headprune, from the pydantic models that check them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from headprune.errors import HeadpruneError
from headprune.hooks.catalogue import KINDS
from headprune.hooks.local import imported
from headprune.hooks.manager import installed_plugins
from headprune.hooks.specs import Spec
from headprune_docs.docstrings import attributes, introduction, sentence
from headprune_docs.fields import Field, fields
from headprune_docs.rst import code, directive, page, prose, section


@dataclass(frozen=True, slots=True)
class Offer:
    """What a plugin offers.

    Attributes:
        kind: `scorer`, `edit` ...
        spec: what the plugin says of it.
        cls: the class; None where what it needs is not installed here.
        settings: its options; none where it has none.
    """

    kind: str
    spec: Spec
    cls: type | None
    settings: tuple[Field, ...]


def offers(kind: str) -> Iterator[Offer]:
    """Everything of a kind that came with headprune, by name."""
    specs = (spec for plugin in installed_plugins(shipped=True) for spec in plugin.specs)
    for spec in sorted((spec for spec in specs if isinstance(spec, KINDS[kind])), key=lambda spec: spec.name):
        try:
            cls = imported(spec.target, spec.name)
        except HeadpruneError:
            # Looked for by importing it: what a plugin requires may be here in another version.
            cls = None
        model: type[BaseModel] | None = getattr(cls, "Settings", None)
        yield Offer(kind, spec, cls, tuple(fields(model, attributes(model))) if model else ())


def setting_pages() -> dict[str, str]:
    """A page for each kind."""
    return {f"plugins/{kind}s.rst": _page(kind, list(offers(kind))) for kind in KINDS}


def _page(kind: str, offered: list[Offer]) -> str:
    given = "``headprune plugins list`` tells what else is installed."
    if any(offer.settings for offer in offered):
        given += f" Options are given as ``--{kind}-option key=value``, or in a :doc:`recipe <../recipe>`."
    return page(f"{kind.capitalize()}s", f"What comes with headprune. {given}", *map(_section, offered))


def _section(offer: Offer) -> str:
    requires = f"It needs {', '.join(map(code, offer.spec.requires))}." if offer.spec.requires else ""
    described = [
        directive(
            "confval",
            f"{offer.spec.name}.{field.name}",
            prose(sentence(field.description)),
            type=field.type,
            default=field.default,
        )
        for field in offer.settings
    ]
    said = introduction(offer.cls) if offer.cls else ""
    return section(offer.spec.name, prose(said or sentence(offer.spec.summary)), requires, *described)
