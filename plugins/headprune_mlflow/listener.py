"""Tells MLflow of a run."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Annotated, Any
from urllib.parse import urlsplit

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
    __version__,
    notice,
)
from headprune_mlflow.params import TAG_LIMIT, params_of
from headprune_mlflow.speaking import speaking_to_mlflow

_EVERY = 5.0
"""Seconds between two logs of the progress: each is a request that the run waits for."""


def _without_password(uri: str) -> str:
    if urlsplit(uri).password:
        # Settings are written into the run folder.
        raise ValueError("a password is no setting: export MLFLOW_TRACKING_URI, or MLFLOW_TRACKING_PASSWORD")
    return uri


class MlflowSettings(Settings):
    """Settings of `mlflow`, called as in MLflow. What is left out is as its own environment variables say; user, token
    and password are read from there alone.

    Attributes:
        tracking_uri: a server, a database or a folder; by default MLFLOW_TRACKING_URI, or MLflow's own default.
        experiment_name: made where there is none of that name; by default MLFLOW_EXPERIMENT_NAME, or `headprune`.
        run_name: by default the name of the run folder.
    """

    tracking_uri: Annotated[str, AfterValidator(_without_password)] | None = None
    experiment_name: str | None = None
    run_name: str | None = None


class Mlflow(Listener):
    """A run of MLflow for each run of headprune.

    Metrics are `importance/head_3` and `alpha/head_3` with the layer as step: one chart a head that runs over the
    depth of the tower, which MLflow keeps together by the part before the slash; a metric for each head of each layer
    would be hundreds of charts with a single bar. Then there are `progress` (the share of its stage that is done, which
    the tag `stage` names), `seconds`, `decoded` and `reused`. Parameters are the recipe's settings, and the patch is an
    artifact.
    """

    Settings = MlflowSettings
    settings: MlflowSettings
    _client: Any  # no type that is known without importing MLflow
    _run: str
    _stage = ""
    _logged = 0
    _due = 0.0

    def started(self, run: RunStarted) -> None:
        """Make the run, with its parameters.

        Raises:
            HeadpruneError: MLflow cannot be reached, or does not take it.
        """
        params, changes = params_of(run.settings)
        with speaking_to_mlflow(hurried=True):
            from mlflow import MlflowClient

            self._client = MlflowClient(self.settings.tracking_uri)
            name = self.settings.run_name or (run.folder.resolve().name if run.folder else None)
            made = self._client.create_run(self._experiment(), run_name=name, tags=_tags(run))
            self._run = made.info.run_id
        try:
            self._log(params=params, hurried=True)
        except HeadpruneError:
            with suppress(HeadpruneError), speaking_to_mlflow(hurried=True):
                self._client.set_terminated(self._run, "FAILED")
            raise
        if changes:
            more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            notice(f"MLflow takes names and values of limited length and form: {'; '.join(changes[:3])}{more}")

    def progressed(self, progress: Progress) -> None:
        """Log the progress, now and then, and whenever a stage ends."""
        now = time.monotonic()
        if progress.done < progress.total and now < self._due:
            return
        self._due = now + _EVERY
        share = progress.done / progress.total if progress.total else 1.0
        tags = {} if progress.stage == self._stage else {"stage": progress.stage}
        self._stage = progress.stage
        # MLflow draws it over time as well; steps only have to grow.
        self._logged += 1
        self._log({"progress": share}, tags=tags, step=self._logged)

    def layer_scored(self, layer: LayerScored) -> None:
        """Log importance and coefficient of its heads."""
        self._log(
            {
                f"{kind}/head_{head}": interval.mean
                for kind, heads in (("importance", layer.importance), ("alpha", layer.alpha))
                for head, interval in enumerate(heads)
            },
            step=layer.layer,
        )

    def finished(self, run: RunFinished) -> None:
        """Store the patch and end the run."""
        self._log({"seconds": run.seconds, "decoded": run.decoded, "reused": run.reused})
        with speaking_to_mlflow():
            if run.patch:
                self._client.log_artifact(self._run, str(run.patch))
            self._client.set_terminated(self._run, "FINISHED")

    def failed(self, run: RunFailed) -> None:
        """End the run as failed, or as killed where somebody stopped it; the tag `error` says why."""
        interrupted = run.kind == "KeyboardInterrupt"
        self._log(
            {"seconds": run.seconds}, tags={"error": ": ".join(filter(None, (run.kind, run.reason)))}, hurried=True
        )
        with speaking_to_mlflow(hurried=True):
            self._client.set_terminated(self._run, "KILLED" if interrupted else "FAILED")

    def _experiment(self) -> str:
        """The id of the experiment to log to, made where there is none yet."""
        name = self.settings.experiment_name or os.environ.get("MLFLOW_EXPERIMENT_NAME")
        if not name and (known := os.environ.get("MLFLOW_EXPERIMENT_ID")):
            return known
        name = name or "headprune"
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def _log(
        self,
        metrics: dict[str, float] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
        step: int = 0,
        hurried: bool = False,
    ) -> None:
        """Log all this in one request."""
        with speaking_to_mlflow(hurried):
            from mlflow.entities import Metric, Param, RunTag

            now = int(time.time() * 1000)
            self._client.log_batch(
                self._run,
                metrics=[Metric(name, value, now, step) for name, value in (metrics or {}).items()],
                params=[Param(name, value) for name, value in (params or {}).items()],
                tags=[RunTag(name, value[:TAG_LIMIT]) for name, value in (tags or {}).items()],
            )


def _tags(run: RunStarted) -> dict[str, str]:
    tags = {
        "headprune": __version__,
        "model": str(run.model),
        "tower": str(run.geometry),
        "scorer": str(run.scorer.get("name", "")),
        "edit": str(run.edit.get("name", "")),
        "resumed": str(run.resumed).lower(),
        **({"run_folder": str(run.folder.resolve())} if run.folder else {}),
        **({"revision": run.model.revision} if run.model.revision else {}),
    }
    return {name: value[:TAG_LIMIT] for name, value in tags.items()}
