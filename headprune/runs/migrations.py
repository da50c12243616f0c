"""How a store that an older headprune wrote becomes one of today's."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

from headprune.runs.schema import IMPORTANCES, TABLES, VIEWS, execute, tell_version
from headprune.runs.sums import row_sum


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a store of an older `version` to today's; call it within a transaction."""
    connection.create_function("row_sum", -1, row_sum, deterministic=True)
    connection.create_aggregate("by_head", 2, _ByHead)  # type: ignore[arg-type]
    MIGRATIONS[version](connection)
    tell_version(connection)


class _ByHead:
    """The importances of a layer's heads, a row each, as one text."""

    def __init__(self) -> None:
        self._values: dict[int, float] = {}

    def step(self, head: int, value: float) -> None:
        self._values[head] = value

    def finalize(self) -> str:
        return json.dumps([self._values.get(head) for head in range(max(self._values) + 1)], separators=(",", ":"))


def _from_1(connection: sqlite3.Connection) -> None:
    """Version 1 knew samples by name only, and importances as scores of a context of their own.

    Which pictures its captions were made of it told all at once: they stay to be read, under a picture without a hash,
    and are not taken for those of today's pictures.
    """
    for table in ("meta", "contexts", "scorers", "captions", "scores"):
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    execute(connection, TABLES + IMPORTANCES + VIEWS)
    execute(
        connection,
        """
        INSERT INTO meta SELECT key, value, row_sum(key, value) FROM old_meta;
        INSERT INTO contexts (digest, description) SELECT digest, description FROM old_contexts
            WHERE json_extract(description, '$.importances_of') IS NULL;
        INSERT INTO scorers (digest, description) SELECT digest, description FROM old_scorers;
        INSERT INTO samples (name, picture) SELECT sample, '' FROM old_captions UNION SELECT sample, '' FROM old_scores;
        INSERT INTO captions (context_id, sample_id, layer, head, text, sum)
            SELECT contexts.id, samples.id, layer, head, text, row_sum(context, sample, '', layer, head, text)
            FROM old_captions JOIN contexts ON digest = context JOIN samples ON name = sample;
        INSERT INTO scores (context_id, sample_id, layer, head, scorer_id, value, sum)
            SELECT contexts.id, samples.id, layer, head, scorers.id, value,
                row_sum(context, sample, '', layer, head, scorer, value)
            FROM old_scores JOIN contexts ON contexts.digest = context JOIN samples ON name = sample
                JOIN scorers ON scorers.digest = scorer;
        INSERT INTO importances (patch, sample_id, layer, by_head, sum)
            SELECT patch, samples.id, layer, values_, row_sum(patch, sample, '', layer, values_) FROM (
                SELECT json_extract(description, '$.importances_of') AS patch, sample, layer,
                    by_head(head, value) AS values_
                FROM old_scores JOIN old_contexts ON digest = context GROUP BY patch, sample, layer)
            JOIN samples ON name = sample WHERE patch IS NOT NULL;
        DROP TABLE old_scores; DROP TABLE old_captions; DROP TABLE old_scorers; DROP TABLE old_contexts;
        DROP TABLE old_meta""",
    )


def _from_2(connection: sqlite3.Connection) -> None:
    """Version 2 had a row for every importance, a third of all that a run wrote."""
    connection.execute("ALTER TABLE importances RENAME TO old_importances")
    execute(connection, IMPORTANCES)
    execute(
        connection,
        """
        INSERT INTO importances (patch, sample_id, layer, by_head, sum)
            SELECT patch, sample_id, layer, values_, row_sum(patch, name, picture, layer, values_) FROM (
                SELECT patch, sample_id, layer, by_head(head, value) AS values_
                FROM old_importances JOIN samples ON samples.id = sample_id
                WHERE sum = row_sum(patch, name, picture, layer, head, value) GROUP BY patch, sample_id, layer)
            JOIN samples ON samples.id = sample_id;
        DROP TABLE old_importances""",
    )


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _from_1, 2: _from_2}
