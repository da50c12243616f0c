"""The `mlflow` listener: a run of headprune as a run of MLflow."""
