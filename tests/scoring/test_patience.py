"""A service that stops to answer is waited for, as long as was asked and no longer."""

from __future__ import annotations

import pytest

from headprune.errors import Notice, ServiceError
from headprune.scoring.patience import patiently


class Service:
    """Answers after so many failures."""

    def __init__(self, failures: int, answered: bool = True) -> None:
        self.failures = failures
        self.answered = answered
        self.asked = 0

    def ask(self) -> int:
        self.asked += 1
        if self.asked <= self.failures:
            raise ServiceError("it is out of reach", "wait", self.answered)
        return 7


@pytest.mark.filterwarnings("ignore::headprune.Notice")
@pytest.mark.parametrize(
    ("failures", "waits"),
    [(0, []), (1, [10]), (3, [10, 20, 40]), (8, [10, 20, 40, 80, 160, 320, 600, 600])],
)
def test_waits_grow_to_ten_minutes(failures, waits):
    slept: list[float] = []
    assert patiently(Service(failures).ask, 3600, slept.append) == 7
    assert slept == waits


@pytest.mark.filterwarnings("ignore::headprune.Notice")
@pytest.mark.parametrize("patience", [0, 5, 70, 3600])
def test_no_more_is_waited_than_asked(patience):
    slept: list[float] = []
    service = Service(1000)
    with pytest.raises(ServiceError, match="out of reach"):
        patiently(service.ask, patience, slept.append)
    assert sum(slept) == patience
    assert service.asked == len(slept) + 1


def test_a_service_that_never_answered_is_not_waited_for():
    slept: list[float] = []
    with pytest.raises(ServiceError):
        patiently(Service(1, answered=False).ask, 3600, slept.append)
    assert slept == []


def test_waiting_is_announced():
    with pytest.warns(Notice, match="it is out of reach; asking again in 10 s, after 0 s of waiting"):
        patiently(Service(1).ask, 3600, lambda seconds: None)
