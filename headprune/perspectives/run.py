"""The run folder of a perspective: what was found, on which model and pictures, and how to find it again."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from headprune.errors import HeadpruneError
from headprune.patch.patch import ModelRecord
from headprune.runs.result import RESULT, load_plain, load_result, save_result

KINDS = {
    "dataflow": "headprune.perspectives.dataflow:DataFlow",
    "heatmap": "headprune.perspectives.heatmap:Heatmap",
    "layers": "headprune.perspectives.layers:Layers",
    "heads": "headprune.perspectives.heads:Heads",
    "lesion": "headprune.perspectives.lesion:Lesions",
    "convergence": "headprune.perspectives.convergence:Converged",
    "concreteness": "headprune.perspectives.concreteness:Concreteness",
}
"""Each perspective's result: plain data, numpy arrays and all."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SampleRecord(_Record):
    """A picture that was looked at: its sample's id and gold captions, and the file in the run folder that shows it."""

    id: str
    captions: tuple[str, ...]
    picture: str


class PatchRecord(_Record):
    """The patch of the after side: its digest, how it was applied, and the heads that it silences."""

    digest: str
    scale: str
    prune: str | None
    silent: tuple[tuple[int, int], ...]


class RunInfo(_Record):
    """How a run came about. `layers` are those that were looked at, 0-based; `seconds` leave loading out."""

    format: Literal[1] = 1
    kind: str
    versions: dict[str, str]
    model: ModelRecord
    data: str
    seed: int
    samples: tuple[SampleRecord, ...]
    left_out: int
    layers: tuple[int, ...]
    scorer: str | None
    generation: dict[str, Any]
    patch: PatchRecord | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """A perspective's run: `before` is what was found on the model as it is, `after` with the patch applied."""

    folder: Path
    info: RunInfo
    before: Any
    after: Any = None

    def picture(self, number: int) -> Path:
        """The file that shows the picture of sample `number`."""
        return self.folder / "pictures" / Path(self.info.samples[number].picture).name


def save_run(run: Run) -> None:
    """Write a run's result into its folder, which exists."""
    save_result(run.folder, {"info": run.info.model_dump(mode="json"), "before": run.before, "after": run.after})


def holds_run(folder: Path) -> bool:
    """Whether `folder` holds what a perspective found."""
    return (folder / RESULT).is_file()


def load_info(folder: Path) -> RunInfo:
    """How a run came about, without what was found.

    Raises:
        HeadpruneError: `folder` holds none, or it is not as headprune writes it.
    """
    return _info(folder, load_plain(folder))


def load_run(folder: Path) -> Run:
    """Read a run.

    Raises:
        HeadpruneError: `folder` holds none, or it is not as headprune writes it.
    """
    raw = load_result(folder)
    info = _info(folder, raw)
    try:
        module, _, name = KINDS[info.kind].partition(":")
        kind = TypeAdapter(getattr(import_module(module), name))
        before, after = (None if raw[side] is None else kind.validate_python(raw[side]) for side in ("before", "after"))
    except (KeyError, TypeError, ValidationError) as error:
        raise _unlike(folder, error) from error
    return Run(folder, info, before, after)


def _info(folder: Path, raw: Any) -> RunInfo:
    try:
        return RunInfo.model_validate(raw["info"])
    except (KeyError, TypeError, ValidationError) as error:
        raise _unlike(folder, error) from error


def _unlike(folder: Path, error: Exception) -> HeadpruneError:
    first = str(error).splitlines()[0]
    return HeadpruneError(f"the result in {folder} is not as headprune writes it: {first}", "make it again")
