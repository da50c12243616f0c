"""How many of Ray's workers there is room for, and what each of them needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headprune.errors import UsageError
from headprune.recipes.schema import Recipe
from headprune.towers.adapter import Outline

GIB = 1 << 30
# Beside the weights: Python, torch and a batch.
_BESIDE = 2 * GIB


@dataclass(frozen=True)
class Needs:
    """What one worker takes of a node: cores, GPUs, bytes of memory."""

    cpus: int
    gpus: float
    memory: int

    def room(self, resources: Mapping[str, float]) -> int:
        """How many workers a node with these resources has room for."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        return min(int(resources.get(name, 0) // need) for name, need in wanted.items() if need)

    def __str__(self) -> str:
        gpus = f", {self.gpus:g} GPU" if self.gpus else ""
        return f"{self.cpus} CPU{gpus}, {self.memory / GIB:.1f} GiB"


def needs_of(recipe: Recipe, outline: Outline, nodes: Iterable[Mapping[str, Any]]) -> Needs:
    """What a worker needs that loads this model.

    Raises:
        UsageError: the model is to be spread over GPUs, and nobody says over how many.
    """
    asked = recipe.ray
    if recipe.device_map is not None and asked.gpus is None and recipe.device != "cpu":
        raise UsageError(
            f"device_map {recipe.device_map} spreads each worker's model over GPUs: how many?", "[ray] gpus = 2"
        )
    some = any(node["Resources"].get("GPU") for node in alive(nodes))
    gpus = asked.gpus if asked.gpus is not None else float(some and recipe.device != "cpu")
    weights = outline.parameters * outline.bytes_per_parameter
    memory = weights + _BESIDE if asked.memory is None else int(asked.memory * GIB)
    return Needs(asked.cpus, gpus, memory)


def room_for(needs: Needs, nodes: Iterable[Mapping[str, Any]]) -> int:
    """How many workers a cluster has room for, were nobody else there."""
    return sum(needs.room(node["Resources"]) for node in alive(nodes))


def alive(nodes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The nodes that are up."""
    return [node for node in nodes if node["Alive"]]
