"""Whose fault it is: what a plugin's code raises is said to be the plugin's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headprune.errors import HeadpruneError, PluginError


@contextmanager
def blaming(plugin: str) -> Iterator[None]:
    """Run a plugin's code.

    Args:
        plugin: what messages call it (`scorer Brevity`).

    Raises:
        PluginError: in place of whatever the code raised; errors of ours, which plugins raise on purpose, pass.
    """
    try:
        yield
    except HeadpruneError:
        raise
    # A plugin may raise anything at all; it is chained, so that --debug shows where.
    except Exception as error:
        reason = f"{plugin} failed: {type(error).__name__}: {error}"
        raise PluginError(reason, "a fault of that plugin; --debug shows where") from error
