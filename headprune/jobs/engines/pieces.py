"""A run's tasks in pieces that several workers do side by side."""

from __future__ import annotations

from collections.abc import Sequence

from headprune.scoring.engine import Task


def in_pieces(
    tasks: Sequence[Task], heads_in: Sequence[int], wanted: int, most: int, together: int | None, apart: bool
) -> list[Task]:
    """The tasks in pieces that ask for the same.

    Args:
        tasks: of one kind.
        heads_in: [L], heads of each layer.
        wanted: how many pieces keep all workers busy.
        most: results of one piece, as far as pictures and layers can be parted: what a worker that dies takes with it,
            and what somebody who wants to stop waits for.
        together: how many pictures a piece may have; None where those of a task stay together.
        apart: whether layers may be done apart from each other.
    """
    pieces = list(tasks)
    if together is not None:
        pieces = [
            piece
            for task in tasks
            for piece in task.pieces(
                max(1, min(together, -(-len(task.samples) // wanted), most // _of_each(task, heads_in)))
            )
        ]
    if apart and pieces:
        groups = -(-wanted // len(pieces))
        pieces = [
            part
            for piece in pieces
            for part in piece.by_layers(max(groups, -(-len(piece.samples) * _of_each(piece, heads_in) // most)))
        ]
    return pieces


def _of_each(task: Task, heads_in: Sequence[int]) -> int:
    """How many results a task makes of each sample."""
    return max(1, len(task.references) + sum(heads_in[layer] for layer in task.layers))
