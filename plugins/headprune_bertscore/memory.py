"""A dict with a bound: what was used longest ago goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Remembers values up to a total cost of `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._cost = 0
        self._held: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, None when it is not remembered."""
        if key not in self._held:
            return None
        self._held.move_to_end(key)
        return self._held[key][0]

    def put(self, key: K, value: V, cost: int = 1) -> None:
        """Remember `value` under a key that is not remembered yet, and forget the oldest until the bound holds."""
        self._held[key] = (value, cost)
        self._cost += cost
        while self._cost > self._limit:
            _, (_, freed) = self._held.popitem(last=False)
            self._cost -= freed
