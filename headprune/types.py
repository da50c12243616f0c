"""Plain data that crosses folders. Nothing here imports torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

Form = Hashable
"""How a picture is cut up for the tower: its grid of patches, its tiles. Pictures of one form go through it together;
None where a model makes all pictures alike."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The shape of a vision tower: `layers` (L) blocks of `heads` (H) heads, each `head_width` (dh) wide, on a
    residual stream of `width` (d). `cls` says whether token 0 is a CLS token.

    In a sliced tower layers may have fewer heads: `ragged` then holds each layer's number, H is the largest, and
    tables [L, H] hold NaN where a layer has no such head. It is empty where every layer has H.

    `dead` layers at the end write what nothing reads: the model takes its picture from an earlier one, and their heads
    have no effect at all. They belong to the model around the tower: towers that differ in this alone are equal.
    """

    layers: int
    heads: int
    width: int
    head_width: int
    cls: bool
    ragged: tuple[int, ...] = ()
    dead: int = field(default=0, compare=False)

    @property
    def live(self) -> int:
        """Layers that the model reads, the first ones."""
        return self.layers - self.dead

    @property
    def heads_in(self) -> tuple[int, ...]:
        """Heads of each layer, [L]."""
        return self.ragged or (self.heads,) * self.layers

    def __str__(self) -> str:
        heads = f"{min(self.ragged)} to {self.heads}" if self.ragged else f"{self.heads}"
        return f"{self.layers} layers x {heads} heads of {self.head_width}, width {self.width}"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Where a model came from: `backend:name` and, for a hub, the commit."""

    backend: str
    name: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.name


class DecodePoint(str, Enum):
    """Where a variant of layer l is put into words: `layer` decodes Z[l], `last` runs the later layers first."""

    LAYER = "layer"
    LAST = "last"


class Schedule(str, Enum):
    """`oneshot` scores each layer on the unchanged model, `sequential` with the earlier coefficients applied."""

    ONESHOT = "oneshot"
    SEQUENTIAL = "sequential"


@dataclass(frozen=True, slots=True)
class Generation:
    """How captions are generated. Greedy unless asked otherwise; `prompt` None is the family's own default. A model
    that has no words of its own chooses among `labels`."""

    num_beams: int = 1
    max_new_tokens: int = 30
    prompt: str | None = None
    labels: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """For patch and store. Labels, which may be thousands, are told by their number and their hash."""
        plain = {"num_beams": self.num_beams, "max_new_tokens": self.max_new_tokens, "prompt": self.prompt}
        if not self.labels:
            return plain
        digest = hashlib.sha256(json.dumps(self.labels).encode()).hexdigest()
        return {**plain, "labels": {"count": len(self.labels), "sha256": digest}}


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture with its gold captions. `load` opens the picture as RGB and raises PictureError when it cannot;
    `origin` says where the sample stands in its source (`metadata.jsonl line 12`), for messages."""

    id: str
    captions: tuple[str, ...]
    load: Callable[[], Image]
    origin: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.id, str):
            raise TypeError(f"a sample's id is text, not {self.id!r}")
        # Text is a sequence of texts, too: its letters.
        if isinstance(self.captions, str) or not all(isinstance(caption, str) for caption in self.captions):
            raise TypeError(f"captions of sample {self.id} are a tuple of texts, not {self.captions!r}")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A sample that could not be used, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples in the order of their source. `ref` is what the user typed; `left_out` what could not be used; `labels`
    what a model that has no words of its own chooses from (none: the samples' gold captions)."""

    ref: str
    samples: tuple[Sample, ...]
    left_out: tuple[LeftOut, ...] = ()
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for sample in self.samples:
            if sample.id in seen:
                raise ValueError(f"two samples of {self.ref} have the id {sample.id!r}: they could not be told apart")
            seen.add(sample.id)

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True, slots=True)
class ScoreItem:
    """One caption to score, and everything a scorer may look at.

    Attributes:
        caption: what the changed model said; may be empty.
        reference: what the unchanged model said at the same decoding point.
        gold: the sample's gold captions; empty when the dataset has none.
        picture: opens the picture when called; open it only when the scorer needs it.
        sample: the sample's id; layer, head: where the caption comes from, 0-based, None for the whole model.
    """

    caption: str
    reference: str = ""
    gold: Sequence[str] = ()
    picture: Callable[[], Image] | None = None
    sample: str = ""
    layer: int | None = None
    head: int | None = None


@dataclass(frozen=True, slots=True)
class RateItem:
    """What one picture's layers say, to be rated side by side (section 4.4).

    Attributes:
        captions: D(Z[l]) of each of `layers`, 0-based and in order; one may be empty.
        reference: what the whole model says.
        gold, picture, sample: as in ScoreItem.
    """

    captions: Sequence[str]
    layers: Sequence[int]
    reference: str = ""
    gold: Sequence[str] = ()
    picture: Callable[[], Image] | None = None
    sample: str = ""


@dataclass(frozen=True, slots=True)
class Expense:
    """What a scorer that asks a paid service would cost, estimated; answers that it has stored cost less.

    Attributes:
        service: who is asked, for a human to agree to.
        calls: questions, if each is answered well at once.
        repeats: how often at most a question whose answer is of no use is asked, and paid, again.
        tokens_in, tokens_out: of all calls.
        cost: of all calls, in the currency of the prices the scorer was given; None where it was given none.
    """

    service: str
    calls: int
    repeats: int
    tokens_in: int
    tokens_out: int
    cost: float | None

    def __add__(self, other: Expense) -> Expense:
        """What both would cost together."""
        return Expense(
            self.service if self.service == other.service else f"{self.service} and {other.service}",
            self.calls + other.calls,
            max(self.repeats, other.repeats),
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            None if self.cost is None or other.cost is None else self.cost + other.cost,
        )


def expense_of_all(expenses: Iterable[Expense | None]) -> Expense | None:
    """What all of them would cost together; None where all are free."""
    paid = [expense for expense in expenses if expense is not None]
    return reduce(add, paid) if paid else None


@dataclass(frozen=True, slots=True)
class LogitRows:
    """Variants to score, teacher-forced on what the unchanged model said at the same decoding point.

    Attributes:
        changed: [R, S, V] float32, log-probabilities of each next token by the changed model.
        unchanged: [R, S, V] float32, the same by the unchanged one.
        tokens: [R, S], the unchanged model's caption, its end token last; filled up behind it.
        mask: [R, S] bool, which of the tokens are the caption's; one at least.
    """

    changed: Tensor
    unchanged: Tensor
    tokens: Tensor
    mask: Tensor


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the patches of a picture, or of one of its tiles, stand among a tower's tokens.

    Attributes:
        rows, columns: of patches.
        tokens: token of each patch, row by row, rows*columns of them.
        cls: the token that stands for this picture or tile; None where the tower has none.
        box: (left, top, right, bottom), which part of the picture the grid covers, as fractions of its width and
            height. A processor that crops covers less than 0..1, one that pads more.
    """

    rows: int
    columns: int
    tokens: tuple[int, ...]
    cls: int | None
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the limits of its bootstrap interval (95 %)."""

    mean: float
    low: float
    high: float
