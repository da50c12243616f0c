"""Whether words were chosen by numbers: of NaN some word is always the likeliest, and nothing else tells."""

from __future__ import annotations

import torch
from torch import Tensor

from headprune.errors import NumberError


class NumberCheck:
    """Watches the logits that captions are made by. Nothing is waited for on a device until `refuse`.

    Args:
        rows: R, how many captions are made together.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._dtype: torch.dtype | None = None
        self._wrong: Tensor | None = None

    def see(self, logits: Tensor, over: Tensor | None = None) -> None:
        """One step of all rows.

        Args:
            logits: [R * k, V], of the next word, k beams a row; -inf is a word that may not be chosen.
            over: [R * k] bool, what has ended already, and whose next word is not taken.
        """
        # Of all V the largest: NaN is larger than any number.
        wrong = ~logits.amax(dim=-1).isfinite()
        if over is not None:
            wrong &= ~over
        wrong = wrong.view(self._rows, -1).any(dim=1)
        self._dtype = logits.dtype
        self._wrong = wrong if self._wrong is None else self._wrong | wrong

    def refuse(self, dtype: torch.dtype | None = None) -> None:
        """See that all of it were numbers.

        Args:
            dtype: what the model speaks in, where the logits are of another.

        Raises:
            NumberError: they were not, and of which row.
        """
        if self._wrong is not None and bool(self._wrong.any()):
            raise NumberError(int(self._wrong.nonzero()[0]), str(dtype or self._dtype))
