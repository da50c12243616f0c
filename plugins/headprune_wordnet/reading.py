"""What a caption names and what it says of it, by the order of its words and a dictionary."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from headprune_wordnet.words import Word, look_up

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)?|[^\s\w]")
_OPENING = "a an the this that these those its his her their my your our some any no each every another"
_LINKING = "is are was were be been being has have had do does did can could will would may"
# Prepositions, pronouns and the like; and the nouns that prepositions are made of (in front of, on top of).
_OTHERS = (
    "of on in at by to with from for into onto over under above below near off up down out about through across along "
    "around behind beside between against among inside outside next as than and or but while who which where there it "
    "he she they i you we him them not very too just also then so if when what how "
    "front top bottom side back left right middle center centre edge"
)
_LINKS = frozenset(_LINKING.split())
_EMPTY = frozenset(f"{_OPENING} {_LINKING} {_OTHERS}".split())


@dataclass(frozen=True, slots=True)
class Reading:
    """A caption, read.

    Attributes:
        things: nouns that it names, in their base form, each once, with their depth in WordNet.
        details: its other words of content (qualities, numbers, deeds), in their base form, each once.
    """

    things: dict[str, int]
    details: frozenset[str]

    @property
    def content(self) -> frozenset[str]:
        """All of them."""
        return self.details | self.things.keys()


def read(caption: str) -> Reading:
    """Tell a caption's things from what it says of them.

    Words of no content part it into pieces. In a piece the things are the last of each run of words that are mostly
    nouns; a word that can be an adjective and stands before one that can be a noun belongs to it (`orange star`). A
    piece that has no such word, and no linking verb before it, names its last noun (`the red cross`), but no form of a
    verb such as `standing`.
    """
    things: dict[str, int] = {}
    details: set[str] = set()
    for piece, linked in _pieces(caption):
        heads = _heads(piece, linked)
        for at, (form, word) in enumerate(piece):
            if at in heads:
                things[word.noun] = word.depth
            else:
                details.add(word.verb if word.verbs > max(word.nouns, word.adjectives) else word.noun or form)
    return Reading(things, frozenset(details - set(things)))


def _pieces(caption: str) -> Iterator[tuple[list[tuple[str, Word]], bool]]:
    """Runs of known words of content, each with whether a linking verb stands before it."""
    piece: list[tuple[str, Word]] = []
    linked = False
    for form in [*_TOKEN.findall(caption.lower()), "."]:
        if form in _EMPTY or not form[0].isalnum():
            if piece:
                yield piece, linked
            piece, linked = [], form in _LINKS
        elif (word := look_up(form)).known:
            piece.append((form, word))


def _heads(piece: list[tuple[str, Word]], linked: bool) -> set[int]:
    """Which words of a piece are things."""
    words = [word for _, word in piece]
    before_noun = [after.nouns >= 0 for after in words[1:]] + [False]
    nouns = [
        word.mostly_noun and not (word.adjectives >= 0 and qualifies)
        for word, qualifies in zip(words, before_noun, strict=True)
    ]
    heads = {at for at, noun in enumerate(nouns) if noun and not (at + 1 < len(nouns) and nouns[at + 1])}
    if not heads and not linked:
        able = [at for at, word in enumerate(words) if word.nouns >= 0 and word.verb in ("", word.noun)]
        heads = {able[-1]} if able else set()
    return heads
