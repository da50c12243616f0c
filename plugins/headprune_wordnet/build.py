"""Makes `words.txt.gz` from WordNet's database files: python build.py FOLDER (Debian: /usr/share/wordnet).

A line a word: the word, the depth of the noun (-1 where it is none), and how often WordNet's tagged texts use it as a
noun, a verb and an adjective; -1 where it is not one. Then, behind an empty line, irregular forms: form, part, word.
"""

from __future__ import annotations

import gzip
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path

_PLAIN = re.compile(r"[a-z]+")
_PHYSICAL = "00001930"  # the synset `physical entity`
_PARTS = {"1": "noun", "2": "verb", "3": "adj", "5": "adj"}


class WordNet:
    """WordNet's database files (wndb(5WN)), read whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.senses = {part: self._index(part) for part in ("noun", "verb", "adj")}
        self.tagged = self._tagged()
        self._above: dict[str, list[str]] = {}
        for line in self._lines("data.noun"):
            fields = line.split(" | ")[0].split(" ")
            pointers = fields[4 + 2 * int(fields[3], 16) + 1 :]
            self._above[fields[0]] = [
                pointers[at + 1] for at in range(0, len(pointers) - 3, 4) if pointers[at] in ("@", "@i")
            ]
        self.depth = cache(self._depth)
        self.physical = cache(self._physical)

    def noun_depth(self, word: str) -> int:
        """Steps up to `entity`, by the shortest way, from the first sense that is a physical entity, else the first."""
        senses = self.senses["noun"].get(word, [])
        chosen = next(filter(self.physical, senses), senses[0] if senses else None)
        return -1 if chosen is None else self.depth(chosen)

    def times(self, word: str, part: str) -> int:
        """How often tagged texts have the word as this part of speech; -1 where it is none."""
        return self.tagged[word, part] if word in self.senses[part] else -1

    def irregular(self, part: str) -> list[tuple[str, str]]:
        """Irregular forms with their words."""
        pairs = [line.split()[:2] for line in (self.folder / f"{part}.exc").read_text().splitlines()]
        return sorted((form, word) for form, word in pairs if _plain(form) and word in self.senses[part])

    def _depth(self, synset: str) -> int:
        return 1 + min(map(self.depth, self._above[synset])) if self._above[synset] else 0

    def _physical(self, synset: str) -> bool:
        return synset == _PHYSICAL or any(map(self.physical, self._above[synset]))

    def _index(self, part: str) -> dict[str, list[str]]:
        rows = (line.split() for line in self._lines(f"index.{part}"))
        return {row[0]: row[-int(row[2]) :] for row in rows if _plain(row[0])}

    def _tagged(self) -> Counter[tuple[str, str]]:
        tagged: Counter[tuple[str, str]] = Counter()
        for line in self._lines("cntlist.rev"):
            key, _, count = line.split()
            word, _, rest = key.partition("%")
            if rest[0] in _PARTS:
                tagged[word, _PARTS[rest[0]]] += int(count)
        return tagged

    def _lines(self, name: str) -> list[str]:
        # The licence at the head of each file is indented.
        lines = (self.folder / name).read_text(encoding="utf-8").splitlines()
        return [line for line in lines if not line.startswith("  ")]


def _plain(word: str) -> bool:
    return _PLAIN.fullmatch(word) is not None


def main(folder: Path) -> None:
    """Write the table beside this file."""
    wordnet = WordNet(folder)
    words = sorted({word for part in wordnet.senses.values() for word in part})
    numbers = (
        [wordnet.noun_depth(word), *(wordnet.times(word, part) for part in ("noun", "verb", "adj"))] for word in words
    )
    lines = [f"{word} {' '.join(map(str, row))}" for word, row in zip(words, numbers, strict=True)]
    irregular = [f"{form} {part} {word}" for part in ("noun", "verb") for form, word in wordnet.irregular(part)]
    text = "\n".join([*lines, "", *irregular, ""])
    (Path(__file__).parent / "words.txt.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
