"""headprune report: from run folders to a page, or to a folder of figures or tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headprune import __version__
from headprune.errors import HeadpruneError, UsageError, notice
from headprune.files import refuse_unless_free, writing, writing_folder
from headprune.jobs.measured import kept_evaluations
from headprune.patch.file import load_patch
from headprune.patch.prune import PruneRule
from headprune.perspectives.run import Run, holds_run, load_run
from headprune.report.figures import rendered
from headprune.report.figures import scored as scored_figures
from headprune.report.page import render
from headprune.report.scored import Scored
from headprune.report.scored import tables as scored_tables
from headprune.report.subjects import Source
from headprune.report.tables import csv_text, tables
from headprune.runs.store import FILE, RunStore
from headprune.scoring.kept import kept_importances
from headprune.scoring.statistics import limits

Files = Literal["png", "svg", "csv"]
Format = Literal["html"] | Files
_RUNS = "name folders that headprune score, layers, heatmap, heads or another perspective wrote"


@dataclass(frozen=True, slots=True)
class Reported:
    """A finished report: what was written, the runs in it, and of a page how many of how many pictures it shows."""

    out: Path
    form: Format
    runs: tuple[Path, ...]
    files: tuple[Path, ...]
    shown: int | None = None
    pictures: int | None = None


def perform_report(
    folders: Sequence[Path],
    out: Path,
    form: Format = "html",
    prune: str | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Reported:
    """Make a page `out` of run folders; or with another format fill the new folder `out`, a folder a run.

    Args:
        prune: the rule by which heads of a score run are marked; without it, that of each evaluation in the run.

    Raises:
        UsageError: no run, one twice, or a rule without a score run. HeadpruneError: a folder holds no finished run.
    """
    if not folders:
        raise UsageError("report needs a run folder", _RUNS)
    twice = next((folder for at, folder in enumerate(folders) if folder.resolve() in _resolved(folders[:at])), None)
    if twice:
        raise UsageError(f"{twice} is named twice", "name each run once")
    if form != "html":
        refuse_unless_free(out)
    elif out.is_file() and not _is_page(out):
        raise UsageError(f"{out} is there, and is no report", "choose another --out, or remove it yourself")
    if prune:
        PruneRule.parse(prune)
    progress("reading")
    sources = [_source(folder, prune) for folder in folders]
    if prune and not any(isinstance(source, Scored) for source in sources):
        raise UsageError("--prune marks heads of a score run, and none of these is one", "name a score run too")
    progress("drawing")
    if form == "html":
        return _page(sources, out)
    return _files(sources, out, form)


def _page(sources: Sequence[Source], out: Path) -> Reported:
    page = render(sources, __version__)
    with writing(out) as part:
        part.write_text(page.html, encoding="utf-8")
    return Reported(out, "html", tuple(source.folder for source in sources), (out,), page.shown, page.pictures)


def _files(sources: Sequence[Source], out: Path, form: Files) -> Reported:
    written = []
    with writing_folder(out) as part:
        for name, source in zip(_names(sources), sources, strict=True):
            (part / name).mkdir()
            for file, data in _contents(source, form):
                (part / name / f"{file}.{form}").write_bytes(data)
                written.append(out / name / f"{file}.{form}")
    return Reported(out, form, tuple(source.folder for source in sources), tuple(written))


def _contents(source: Source, form: Files) -> Iterator[tuple[str, bytes]]:
    """A run's figures or tables, by name."""
    if form == "csv":
        found = tables(source) if isinstance(source, Run) else scored_tables(source)
        # Spreadsheets take UTF-8 for something else without the mark.
        return ((table.name, csv_text(table).encode("utf-8-sig")) for table in found)
    return rendered(source, form) if isinstance(source, Run) else scored_figures.rendered(source, form)


def _names(sources: Sequence[Source]) -> list[str]:
    """A folder's name for each run: its own, or where two have the same, a number behind it."""
    names: list[str] = []
    for source in sources:
        name = own = source.folder.resolve().name or "run"
        number = 2
        while name.casefold() in map(str.casefold, names):
            name, number = f"{own}-{number}", number + 1
        names.append(name)
    return names


def _source(folder: Path, prune: str | None) -> Source:
    if not folder.is_dir():
        raise HeadpruneError(f"there is no run folder {folder}", _RUNS)
    if holds_run(folder):
        return load_run(folder)
    if not (folder / FILE).is_file():
        raise HeadpruneError(f"{folder} holds no run", _RUNS)
    path = folder / "patch.safetensors"
    if not path.is_file():
        raise HeadpruneError(
            f"the score run in {folder} is not finished: it has no patch yet",
            "give its headprune score command again: it goes on where it stopped",
        )
    return _scored(folder, path, prune)


def _scored(folder: Path, path: Path, prune: str | None) -> Scored:
    patch = load_patch(path)
    store = RunStore.open(folder, create=False)
    try:
        per_sample = kept_importances(store, patch)
    finally:
        store.close()
    low, high = limits(per_sample, patch.info.seed)
    scored = Scored(folder, patch, low, high, tuple(kept_evaluations(path, patch)), prune)
    if not scored.rules():
        notice(f"no head of {folder} is marked as pruned: it has no evaluation of a rule, and --prune gives none")
    for rule in scored.rules():
        scored.pruned(rule)
    return scored


def _is_page(file: Path) -> bool:
    """Whether a file is a page of ours, which may be made anew."""
    with file.open("rb") as opened:
        return b'name="generator" content="headprune' in opened.read(4096)


def _resolved(folders: Sequence[Path]) -> set[Path]:
    return {folder.resolve() for folder in folders}
