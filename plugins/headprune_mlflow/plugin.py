"""Registers the `mlflow` listener."""

from __future__ import annotations

from headprune import ListenerSpec, hookimpl


@hookimpl
def headprune_listeners() -> list[ListenerSpec]:
    """The one listener of this package."""
    return [
        ListenerSpec(
            name="mlflow",
            target="headprune_mlflow.listener:Mlflow",
            summary="an MLflow run: settings, importance and coefficient of each head by layer, the patch as artifact",
            # What all of MLflow stands on, and all that is needed to log.
            requires=("mlflow-skinny>=3.17",),
            advice="pip install 'headprune[mlflow]'",
            personal=("tracking_uri",),
        )
    ]
