"""Runs that belong together: of one model and one dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headprune.perspectives.run import PatchRecord, Run
from headprune.report.scored import Scored

Source = Run | Scored


@dataclass(frozen=True, slots=True)
class Subject:
    """A model looked at with a dataset."""

    model: str
    fingerprint: str
    data: str
    perspectives: tuple[Run, ...]
    scored: tuple[Scored, ...]

    def samples(self, *kinds: str) -> dict[str, tuple[Run, int]]:
        """Every picture that runs of these perspectives, or of any, looked at: by its sample's id a run that shows it,
        and its number there."""
        found: dict[str, tuple[Run, int]] = {}
        for run in self.perspectives:
            if not kinds or run.info.kind in kinds:
                for number, sample in enumerate(run.info.samples):
                    found.setdefault(sample.id, (run, number))
        return found

    def kinds(self, kind: str) -> Iterator[Run]:
        """The runs of one perspective."""
        return (run for run in self.perspectives if run.info.kind == kind)


def subjects(sources: Sequence[Source]) -> tuple[Subject, ...]:
    """`sources` by model (its name and its weights) and dataset, in the order in which they come."""
    grouped: dict[tuple[str, str, str], list[Source]] = {}
    for source in sources:
        grouped.setdefault(_key(source), []).append(source)
    return tuple(
        Subject(
            *key,
            tuple(source for source in group if isinstance(source, Run)),
            tuple(source for source in group if isinstance(source, Scored)),
        )
        for key, group in grouped.items()
    )


def side_name(patch: PatchRecord | None) -> str:
    """What one side of a run is called."""
    if patch is None:
        return "the model as it is"
    heads = "head" if len(patch.silent) == 1 else "heads"
    pruned = f", {len(patch.silent)} {heads} silent" if patch.silent else ""
    return f"with the patch {patch.digest[:8]}{pruned}"


def position(run: Run, sample: str) -> int | None:
    """The number of a sample in a run, if the run has it."""
    return next((number for number, one in enumerate(run.info.samples) if one.id == sample), None)


def _key(source: Source) -> tuple[str, str, str]:
    if isinstance(source, Run):
        return source.info.model.name, source.info.model.fingerprint, source.info.data
    return source.patch.info.model.name, source.patch.info.model.fingerprint, source.patch.info.dataset
