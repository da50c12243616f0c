"""A WordNet of two synsets, in the files that nltk reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nltk
import pytest
from nltk.corpus import wordnet

# A licence line, as in the real files, holds the version.
HEAD = "  1 This is WordNet 3.0 Copyright 2006\n"
SYNSETS = (("car", "auto", "motorcar"), ("beach", "shore"))


def write_wordnet(folder: Path) -> None:
    """Nouns alone; a synset's id is the byte at which its line begins (wndb(5WN))."""
    folder.mkdir(parents=True)
    data, index, senses = HEAD, [], []
    for words in SYNSETS:
        offset = f"{len(data):08d}"
        named = " ".join(f"{word} 0" for word in words)
        data += f"{offset} 03 n {len(words):02x} {named} 000 | no gloss\n"
        index += [f"{word} n 1 0 1 0 {offset}" for word in words]
        senses += [f"{word}%1:03:00:: {offset} 1 0" for word in words]
    for part in ("adj", "adv", "noun", "verb"):
        (folder / f"data.{part}").write_text(data if part == "noun" else HEAD)
        (folder / f"index.{part}").write_text("".join(f"{line}\n" for line in sorted(index)) if part == "noun" else "")
        (folder / f"{part}.exc").write_text("")
    (folder / "index.sense").write_text("".join(f"{line}\n" for line in sorted(senses)))
    (folder / "lexnames").write_text("".join(f"{number:02d}\tkind{number}\t1\n" for number in range(45)))
    (folder / "cntlist.rev").write_text("")


@pytest.fixture
def no_wordnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """nltk's data folder, in which there is nothing, whatever is installed here."""
    wordnet._unload()
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    yield tmp_path
    wordnet._unload()


@pytest.fixture
def tiny_wordnet(no_wordnet: Path) -> Path:
    """nltk's data folder with a tiny WordNet in it."""
    write_wordnet(no_wordnet / "corpora" / "wordnet")
    return no_wordnet
