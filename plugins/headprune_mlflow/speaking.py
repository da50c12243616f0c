"""How MLflow's code is run: quietly, and what it raises is worded."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from headprune import HeadpruneError

_OURS = {
    # Nothing is said of the run to MLflow's makers, and no address of it on stdout, where results go.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A server that is down is asked again for a minute, as long as it takes to start it anew; the run waits meanwhile.
    # By itself MLflow does so for more than four.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5",
}
_HURRIED = {**_OURS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
_ADVICE = (
    (
        "unsupported URI",
        "pip install 'headprune[mlflow]' for a database, or give a server: tracking_uri=http://HOST:PORT",
    ),
    (
        "MLFLOW_ALLOW_FILE_STORE",
        "export MLFLOW_ALLOW_FILE_STORE=true, or give a database: tracking_uri=sqlite:///mlflow.db",
    ),
)
_UP = "see that the server is up and takes you, or give another: tracking_uri=http://HOST:PORT"
_CHATTY = ("mlflow", "alembic", "urllib3.connectionpool")


@contextmanager
def speaking_to_mlflow(hurried: bool = False) -> Iterator[None]:
    """Run MLflow's code. What the user's environment says stands.

    Args:
        hurried: somebody waits: a server that does not answer is given up soon.

    Raises:
        HeadpruneError: MLflow, or the server behind it, fails.
    """
    # Why the run itself failed, where it did: Python takes it for a cause of all that is raised meanwhile.
    handled = sys.exc_info()[1]
    with _environment(_HURRIED if hurried else _OURS), _hushed():
        try:
            yield
        # Its stores raise all kinds of errors, a bare Exception among them.
        except Exception as error:
            advice = next((step for sign, step in _ADVICE if sign in str(error)), _UP)
            raise HeadpruneError(f"MLflow: {_reason(error, handled)}", advice) from error


@contextmanager
def _environment(defaults: Mapping[str, str]) -> Iterator[None]:
    """Variables that are set for a while, where the user has not set them."""
    unset = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(unset)
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)


@contextmanager
def _hushed() -> Iterator[None]:
    """Only errors are logged for a while."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(error: BaseException, handled: BaseException | None) -> str:
    """What went wrong, in a sentence, without the password that an address may hold."""
    text, cause = " ".join(str(error).split()).partition(". ")[0], error
    while (behind := cause.__cause__ or cause.__context__) and behind is not handled:
        cause = behind
    if cause is not error and isinstance(cause, OSError):
        # "API request to http://... failed with exception HTTPConnectionPool(...": why is at the bottom of it.
        text = f"{text.partition(' failed with ')[0]} failed: {cause}"
    return re.sub(r"://[^/@\s]*@", "://", text)
