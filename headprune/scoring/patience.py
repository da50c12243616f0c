"""Waiting for a service that a scorer asks: it may be out of reach for minutes, or for hours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from headprune.errors import ServiceError, notice

T = TypeVar("T")
FIRST_WAIT, LONGEST_WAIT = 10.0, 600.0


def patiently(work: Callable[[], T], patience: float, sleep: Callable[[float], None] = time.sleep) -> T:
    """What `work` answers, asked again where a service that has answered before does not: after 10 s, then after twice
    as long each time, up to 10 minutes.

    Args:
        work: asks the service.
        patience: for how many seconds at most to wait in all.
        sleep: waits.

    Raises:
        ServiceError: it still does not answer.
    """
    waited, wait = 0.0, FIRST_WAIT
    while True:
        try:
            return work()
        except ServiceError as error:
            wait = min(wait, LONGEST_WAIT, patience - waited)
            if not error.answered or wait <= 0:
                raise
            notice(f"{error.message}; asking again in {wait:.0f} s, after {waited:.0f} s of waiting")
        sleep(wait)
        waited, wait = waited + wait, 2 * wait
