"""English words by WordNet 3.0, from the table that `build.py` made of it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_TABLE = Path(__file__).parent / "words.txt.gz"
# WordNet's own rules (morphy), each tried in turn until a word comes out.
_ENDINGS = {
    "noun": (("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("ies", "y")),
    "verb": (
        ("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Word:
    """A word as a dictionary has it.

    Attributes:
        noun, verb: its base form as each, empty where it is none.
        depth: of the noun, steps up to `entity`; 0 where it is none.
        nouns, verbs, adjectives: how often WordNet's tagged texts have it as each; -1 where it is none.
    """

    noun: str
    verb: str
    depth: int
    nouns: int
    verbs: int
    adjectives: int

    @property
    def known(self) -> bool:
        """Whether it is a noun, a verb or an adjective."""
        return max(self.nouns, self.verbs, self.adjectives) >= 0

    @property
    def mostly_noun(self) -> bool:
        """Whether texts have it as a noun at least as often as in any other part."""
        return self.nouns >= max(0, self.verbs, self.adjectives)


@lru_cache(maxsize=50_000)
def look_up(form: str) -> Word:
    """What a lower-case form is."""
    entries, _ = _table()
    noun, verb = _base(form, "noun"), _base(form, "verb")
    depth, nouns = entries[noun][:2] if noun else (0, -1)
    return Word(noun, verb, depth, nouns, entries[verb][2] if verb else -1, entries.get(form, (0, -1, -1, -1))[3])


def _base(form: str, part: str) -> str:
    """The base form; empty where `form` is not of this part."""
    entries, irregular = _table()
    column = {"noun": 1, "verb": 2}[part]
    tried = [irregular.get((form, part), form)]
    tried += [form[: -len(end)] + start for end, start in _ENDINGS[part] if form.endswith(end)]
    doubled = form.removesuffix("ing").removesuffix("ed")
    if part == "verb" and doubled != form and doubled[-2:-1] == doubled[-1:]:
        tried.append(doubled[:-1])  # running, spotted
    bases = [base for base in tried if base in entries and entries[base][column] >= 0]
    # `crosses`: of a cross, and not of a crosse.
    return max(bases, key=lambda base: entries[base][column], default="")


@lru_cache(maxsize=1)
def _table() -> tuple[dict[str, tuple[int, int, int, int]], dict[tuple[str, str], str]]:
    """Word to (depth, as noun, as verb, as adjective), and (form, part) to word."""
    entries, _, irregular = gzip.decompress(_TABLE.read_bytes()).decode().partition("\n\n")
    rows = (line.split(" ") for line in entries.split("\n"))
    forms = (line.split(" ") for line in irregular.split("\n") if line)
    return (
        {word: (int(depth), int(nouns), int(verbs), int(adjectives)) for word, depth, nouns, verbs, adjectives in rows},
        {(form, part): word for form, part, word in forms},
    )
