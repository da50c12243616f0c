"""Tells Weights & Biases of a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from headprune import (
    HeadpruneError,
    LayerScored,
    Listener,
    Progress,
    RunFailed,
    RunFinished,
    RunStarted,
    Settings,
    notice,
)

_NAME_LIMIT = 128
_KILLED = 255
"""The exit code that W&B itself gives a run that Ctrl-C stopped."""
_UNLESS_SET: dict[str, Any] = {
    "silent": True,
    # Seconds. Without, the end of a run waits for a lost network for ever, and silently.
    "init_timeout": 30,
    "finish_timeout": 600,
}
"""Settings of W&B's that we choose where no WANDB_ variable does."""


class WandbSettings(Settings):
    """Settings of `wandb`, called as those of `wandb.init`. What is left out is as WANDB_ variables and W&B's own files
    say; the key is read from there alone.

    Attributes:
        project: by default WANDB_PROJECT, or `headprune`.
        name: of the run; by default the name of the run folder.
        mode: online, offline (`wandb sync` sends it later) or disabled; by default WANDB_MODE, or online.
        dir: the folder that W&B's folder `wandb` is made in; by default WANDB_DIR, or the current one.
    """

    project: str | None = None
    name: str | None = None
    mode: Literal["online", "offline", "disabled"] | None = None
    dir: Annotated[Path, AfterValidator(Path.expanduser)] | None = None


class Wandb(Listener):
    """A run of Weights & Biases for each run of headprune.

    Logged are `importance/head_3` and `alpha/head_3` over `layer`: one chart a head, that runs over the depth of the
    tower. Then there are `progress`, the share of `stage` that is done, and at the end a table `heads` with the
    intervals, and the patch as artifact. The config holds the recipe, the model and its tower, scorer and edit.
    """

    Settings = WandbSettings
    settings: WandbSettings
    _run: Any  # no type that is known without importing wandb

    def __init__(self, settings: WandbSettings | None = None) -> None:
        super().__init__(settings)
        self._rows: list[list[float]] = []

    def started(self, run: RunStarted) -> None:
        """Make the run.

        Raises:
            HeadpruneError: there is no key, W&B cannot be reached, or does not take it.
        """
        with _speaking(), _asking_nothing():
            import wandb

            ours = {name: value for name, value in _UNLESS_SET.items() if f"WANDB_{name.upper()}" not in os.environ}
            name = self.settings.name or (run.folder.resolve().name if run.folder else None)
            self._run = wandb.init(
                project=self.settings.project or wandb.setup().settings.project or "headprune",
                name=name[:_NAME_LIMIT] if name else None,
                mode=self.settings.mode,
                dir=self.settings.dir,
                job_type="score",
                config=_config(run),
                # A run of its own beside any other, and stdout left as it is.
                settings=wandb.Settings(console="off", reinit="create_new", **ours),
            )
            for kind in ("importance", "alpha"):
                self._run.define_metric(f"{kind}/*", step_metric="layer")
            if self._run.settings.mode == "online":
                notice(f"W&B shows this run at {self._run.url}")

    def progressed(self, progress: Progress) -> None:
        """Log the progress; W&B sends it by and by, nothing waits for it."""
        share = progress.done / progress.total if progress.total else 1.0
        with _speaking():
            self._run.log({"progress": share, "stage": progress.stage})

    def layer_scored(self, layer: LayerScored) -> None:
        """Log importance and coefficient of its heads."""
        logged: dict[str, float] = {"layer": layer.layer}
        for head, (importance, alpha) in enumerate(zip(layer.importance, layer.alpha, strict=True)):
            logged |= {f"importance/head_{head}": importance.mean, f"alpha/head_{head}": alpha.mean}
            row = [value for each in (importance, alpha) for value in (each.mean, each.low, each.high)]
            self._rows.append([layer.layer, head, *row])
        with _speaking():
            self._run.log(logged)

    def finished(self, run: RunFinished) -> None:
        """Log the table, store the patch and end the run."""
        with _speaking():
            import wandb

            limits = [f"{kind}{end}" for kind in ("importance", "alpha") for end in ("", "_low", "_high")]
            self._run.log({"heads": wandb.Table(columns=["layer", "head", *limits], data=self._rows)})
            if run.patch:
                self._run.log_artifact(str(run.patch), type="patch")
        self._end({"seconds": run.seconds, "decoded": run.decoded, "reused": run.reused}, exit_code=0)

    def failed(self, run: RunFailed) -> None:
        """End the run with an exit code, that of a killed run where somebody stopped it; `error` says why."""
        interrupted = run.kind == "KeyboardInterrupt"
        self._end(
            {"seconds": run.seconds, "error": ": ".join(filter(None, (run.kind, run.reason)))},
            exit_code=_KILLED if interrupted else 1,
        )

    def _end(self, summary: dict[str, Any], exit_code: int) -> None:
        with _speaking():
            self._run.summary.update(summary)
            self._run.finish(exit_code=exit_code)
        if self._run.settings.mode == "offline":
            notice(f"W&B keeps this run in {self._run.settings.sync_dir}: `wandb sync` with that folder sends it")


def _config(run: RunStarted) -> dict[str, Any]:
    return {
        "recipe": dict(run.settings),
        "model": asdict(run.model),
        "geometry": asdict(run.geometry),
        "scorer": dict(run.scorer),
        "edit": dict(run.edit),
        "layers": list(run.layers),
        "run_folder": str(run.folder.resolve()) if run.folder else None,
        "resumed": run.resumed,
    }


@contextmanager
def _speaking() -> Iterator[None]:
    """Run W&B's code.

    Raises:
        HeadpruneError: it fails.
    """
    import wandb

    try:
        yield
    except (wandb.Error, TimeoutError, OSError) as error:
        raise HeadpruneError(
            f"W&B: {' '.join(str(error).split())}", "wandb login, or mode=offline, which needs neither key nor net"
        ) from error


@contextmanager
def _asking_nothing() -> Iterator[None]:
    """For a while nobody is asked for a key, which W&B would write down, and its errors are not reported to its makers
    unless the user's environment says so."""
    stdin, variable = sys.stdin, "WANDB_ERROR_REPORTING"
    unset = variable not in os.environ
    if unset:
        os.environ[variable] = "false"
    try:
        with open(os.devnull, encoding="utf-8") as sys.stdin:  # noqa: PTH123 - no path, a device
            yield
    finally:
        sys.stdin = stdin
        if unset:
            os.environ.pop(variable, None)
