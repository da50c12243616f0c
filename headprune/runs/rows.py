"""A run's results as flat rows, for other tools: every caption, score and importance whose sum matches."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from headprune.errors import notice
from headprune.runs.canonical import canonical
from headprune.runs.store import REFERENCE, RunStore
from headprune.runs.sums import row_sum

Row = tuple[Any, ...]
# What differs between the contexts of one run: with schedule `sequential` every layer has a model of its own.
_WITHIN = ("coefficients",)


@dataclass(frozen=True, slots=True)
class Flat:
    """Rows with their columns' names and types."""

    columns: tuple[tuple[str, type], ...]
    rows: Iterator[Row]


def results(store: RunStore) -> Flat:
    """A row for each score, and for each caption that has none. What is missing is None.

    `reference` is the unchanged model's caption that a variant's is compared with; head -1 is the unchanged model.
    """
    columns = (
        *(("sample", str), ("picture", str), ("layer", int), ("head", int)),
        *(("edit", str), ("decode_at", str), ("context", str), ("caption", str), ("reference", str)),
        *(("scorer", str), ("score", float)),
    )
    return Flat(columns, _results(store))


def importances(store: RunStore) -> Flat:
    """A row for each head's importance on each sample, by the patch that was made of them."""
    columns = (
        *(("patch", str), ("sample", str), ("picture", str), ("layer", int), ("head", int)),
        ("importance", float),
    )
    query = (
        "SELECT patch, name, picture, layer, by_head, sum FROM importances "
        "JOIN samples ON samples.id = sample_id ORDER BY importances.id"
    )
    rows = (
        (*place, head, value)
        for *place, by_head, _ in _whole(store, "importances", query)
        for head, value in enumerate(json.loads(by_head))
        if value is not None
    )
    return Flat(columns, rows)


def family(description: Any) -> str:
    """What the contexts of one run have in common."""
    return canonical({key: value for key, value in description.items() if key not in _WITHIN})


def _results(store: RunStore) -> Iterator[Row]:
    captions_of = (
        "SELECT digest, name, picture, layer, head, text, sum FROM captions "
        "JOIN contexts ON contexts.id = context_id JOIN samples ON samples.id = sample_id ORDER BY captions.id"
    )
    scores_of = (
        "SELECT contexts.digest, name, picture, layer, head, scorers.digest, value, sum FROM scores "
        "JOIN contexts ON contexts.id = context_id JOIN samples ON samples.id = sample_id "
        "JOIN scorers ON scorers.id = scorer_id ORDER BY scores.id"
    )
    contexts, scorers = store.contexts(), store.scorers()
    captions = {row[:5]: row[5] for row in _whole(store, "captions", captions_of) if row[0] in contexts}
    scores: dict[Row, list[tuple[Any, Any]]] = defaultdict(list)
    for row in _whole(store, "scores", scores_of):
        place, (scorer, value) = row[:5], row[5:7]
        if place[0] in contexts and scorer in scorers:
            scores[place].append((scorers[scorer].get("name"), value))
    families = {digest: family(description) for digest, description in contexts.items()}
    unchanged = {
        (families[digest], name, picture, layer): text
        for (digest, name, picture, layer, head), text in captions.items()
        if head == REFERENCE
    }
    # Where all is put into words at the last layer, that is where the unchanged model speaks.
    last = {key[:3]: text for key, text in sorted(unchanged.items(), key=lambda item: item[0][3])}
    for place in dict.fromkeys([*captions, *scores]):
        digest, name, picture, layer, head = place
        described = contexts[digest]
        edit, decode_at = described.get("edit", {}).get("name"), described.get("decode_at")
        at = (families[digest], name, picture)
        reference = last.get(at) if decode_at == "last" else unchanged.get((*at, layer))
        reference = None if head == REFERENCE else reference
        for scorer, value in scores.get(place) or [(None, None)]:
            shape = (name, picture, layer, head, edit, decode_at, digest, captions.get(place), reference)
            yield (*shape, scorer, value)


def _whole(store: RunStore, what: str, query: str) -> list[Row]:
    """The rows whose last column is the sum of the others; says how many are not."""
    found = store.all(query)
    whole = [row for row in found if row_sum(*row[:-1]) == row[-1]]
    if len(whole) < len(found):
        notice(f"{store.path.name} is damaged: of its {what} {len(found) - len(whole)} left out")
    return whole
