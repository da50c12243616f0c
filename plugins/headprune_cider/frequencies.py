"""Document frequencies: in how many images' sets of references an n-gram occurs, counted or read from a file.

The file is JSON, with n-grams of 1 to 4 tokens written with single spaces:

    {"documents": 5000, "tokenizer": "ptb", "ngrams": {"a": 4998, "a man": 1204, ...}}
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from headprune import DataError

MAX_ORDER = 4
Tokens = tuple[str, ...]


def ngrams(tokens: Tokens) -> Iterator[Tokens]:
    """Every n-gram of `tokens`, n = 1 to 4, repeats included."""
    for order in range(1, MAX_ORDER + 1):
        for start in range(len(tokens) - order + 1):
            yield tokens[start : start + order]


class DocumentFrequencies:
    """How many of `documents` sets of references hold each n-gram.

    Args:
        documents: the number of images counted (N).
        counts: n-gram to number of images, 1 to N.
        source: where the counts come from, for `describe`.
    """

    def __init__(self, documents: int, counts: dict[Tokens, int], source: str) -> None:
        self.documents = documents
        self.source = source
        self._counts = counts
        self._log_documents = math.log(documents)
        self._idf = {gram: self._log_documents - math.log(count) for gram, count in counts.items()}

    @classmethod
    def count(cls, sets: Iterable[Sequence[Tokens]], source: str) -> DocumentFrequencies:
        """Count over one set of tokenized references per image; `sets` holds at least one."""
        counts: Counter[Tokens] = Counter()
        documents = 0
        for references in sets:
            documents += 1
            counts.update({gram for tokens in references for gram in ngrams(tokens)})
        return cls(documents, dict(counts), source)

    @classmethod
    def load(cls, path: Path, tokenizer: str) -> DocumentFrequencies:
        """Read the JSON file at `path`.

        Raises:
            DataError: the file is missing, is not what this module describes, or was made with another tokenizer.
        """
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(
                f"cannot read the document frequencies {path}: {error.strerror}", "check df=FILE"
            ) from error
        except ValueError as error:
            raise DataError(f"{path} is not JSON: {error}", _FORMAT) from error
        documents, counts = _checked(held, path)
        if held.get("tokenizer", tokenizer) != tokenizer:
            made_with = held["tokenizer"]
            raise DataError(f"{path} was made with tokenizer={made_with}", f"give tokenizer={made_with}")
        return cls(documents, {tuple(gram.split(" ")): count for gram, count in counts.items()}, path.name)

    def save(self, path: Path, tokenizer: str) -> None:
        """Write the JSON file that `load` reads."""
        held = {"documents": self.documents, "tokenizer": tokenizer, "ngrams": self._named()}
        path.write_text(json.dumps(held, ensure_ascii=False), encoding="utf-8")

    def idf(self, gram: Tokens) -> float:
        """log N - log df; an n-gram that was never counted has df 1."""
        return self._idf.get(gram, self._log_documents)

    def fingerprint(self) -> str:
        """SHA-256 over N and every count: equal fingerprints give equal scores."""
        held = json.dumps([self.documents, self._named()], ensure_ascii=True)
        return hashlib.sha256(held.encode("ascii")).hexdigest()

    def _named(self) -> dict[str, int]:
        return {" ".join(gram): self._counts[gram] for gram in sorted(self._counts)}


_FORMAT = 'it must hold {"documents": N, "tokenizer": "ptb", "ngrams": {"a man": 12, ...}}, counts from 1 to N'


def _checked(held: Any, path: Path) -> tuple[int, dict[str, int]]:
    """The number of documents and the counts of a parsed file."""
    documents = held.get("documents") if isinstance(held, dict) else None
    counts = held.get("ngrams") if isinstance(held, dict) else None
    if type(documents) is not int or documents < 1 or not isinstance(counts, dict):
        raise DataError(f"{path} is not a file of document frequencies", _FORMAT)
    for gram, count in counts.items():
        if type(count) is not int or not 1 <= count <= documents or not 1 <= len(gram.split(" ")) <= MAX_ORDER:
            raise DataError(f"{path}: {gram!r}: {count!r} is not a document frequency", _FORMAT)
    return documents, counts
