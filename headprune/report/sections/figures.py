"""The figures of a run with their words, and its tables."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from headprune.perspectives.run import Run
from headprune.report.encode import data_uri
from headprune.report.figures import rendered
from headprune.report.tables import Table, tables, told

TITLES = {
    "dataflow": "Data flow: what heads, bias and MLP add (Eq. 3-6)",
    "heatmap": "Heat maps: how much each layer looks at the picture (Eq. 7-8)",
    "layers": "What each layer changes (Eq. 9)",
    "heads": "What each head says (figure 6)",
    "lesion": "Lesions (figure 2)",
    "convergence": "Convergence (figure 3)",
    "concreteness": "From abstract to concrete (figure 5)",
}
# Figures of all pictures together come first; those of single pictures have strips and grids in their place here.
_OF_ALL = {"heatmap": 1, "heads": 0, "dataflow": 1}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure: its address, and what it shows in words."""

    uri: str
    words: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run found of all pictures together."""

    title: str
    run: str
    figures: tuple[Drawn, ...]
    tables: tuple[Table, ...]


def findings(run: Run) -> Findings:
    """The figures and short tables of a run."""
    short = tuple(table for table in tables(run) if not table.long)
    words = f"{short[0].title}. {told(short[0])}" if short else TITLES[run.info.kind]
    files = islice(rendered(run, "svg"), _OF_ALL.get(run.info.kind))
    drawn = tuple(Drawn(data_uri("image/svg+xml", data), words) for _, data in files)
    return Findings(TITLES[run.info.kind], run.folder.name, drawn, short)
