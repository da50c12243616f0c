"""What a plugin's classes look like: the base class of each kind that needs no torch."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from headprune.errors import UsageError
from headprune.events import LayerScored, Progress, RunFailed, RunFinished, RunStarted
from headprune.types import Dataset, Expense, LogitRows, RateItem, ScoreItem

if TYPE_CHECKING:
    from torch import Tensor


class Settings(BaseModel):
    """Settings of a plugin: subclass, give each field a default; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _read(value: Any) -> Any:
    """What text that was typed for a list or a table stands for; anything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


class Configurable:
    """Anything made from settings. A subclass that has some sets `Settings` to its class and annotates `settings`."""

    Settings: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: Any = None) -> None:
        self.settings = settings if settings is not None else self.Settings()

    @classmethod
    def configured(cls, options: dict[str, Any]) -> Any:
        """Make one from raw options (a recipe's table, or `key=value` strings of the command line, on which lists and
        tables are written as JSON).

        Raises:
            UsageError: an unknown option or a value of the wrong type, each named.
        """
        try:
            return cls(cls.Settings.model_validate(options, strict=False))
        except ValidationError as error:
            wrong = {one["loc"][0] for one in error.errors() if one["loc"]}
            read = {key: _read(value) if key in wrong else value for key, value in options.items()}
            if read != options:
                return cls.configured(read)
            raise cls._refused(error) from error

    @classmethod
    def _refused(cls, error: ValidationError) -> UsageError:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(cls.Settings.model_fields) or "none"
        if first["type"] == "extra_forbidden":
            return UsageError(f"{cls.__name__} has no option {where!r}", f"options: {known}")
        listed = first["type"].endswith(("list_type", "tuple_type", "set_type", "dict_type"))
        hint = f"""write it as JSON: '{where}=["a", "b"]'""" if listed else f"options: {known}"
        return UsageError(f"option {where!r} of {cls.__name__}: {first['msg']}", hint)


class ScorerBase(Configurable, ABC):
    """What all kinds of scorers share. Batch first; none ever sees the model.

    Attributes:
        needs: what it must be given, beside what its kind always is.
        higher_is_better: the direction of its numbers.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    higher_is_better: ClassVar[bool] = True

    def describe(self) -> dict[str, Any]:
        """What determines the scores, JSON-able, for the patch. Settings by default; add versions, counts."""
        return dict(self.settings.model_dump(mode="json"))

    def expense(self, calls: int, captions: int) -> Expense | None:
        """What it would cost to rate or score `calls` times `captions` captions; None, the default, where that is free.

        Asks nobody. Where it is not None the user is asked to agree before anything is scored.
        """
        return None


SCORER_NEEDS = frozenset({"gold", "picture"})
"""What a scorer of captions may need."""


class Scorer(ScorerBase):
    """Compares captions, which are generated for every head.

    `needs` may name `"gold"` (gold captions: variant and unchanged model are then each scored against gold) and
    `"picture"`. Without `"gold"` the caption is compared with `item.reference`.
    """

    @property
    def compares(self) -> bool:
        """Whether a caption is compared with `item.reference`. Where it is not, the unchanged model's caption is scored
        as well, and what was lost or gained counts."""
        return not self.needs & SCORER_NEEDS

    def fit(self, gold: Sequence[Sequence[str]]) -> None:
        """See the gold captions of the whole dataset once, before the first `score` (document frequencies and such).

        A second `fit` replaces the first.
        """

    @abstractmethod
    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        """One finite float per item, in order. Must not depend on which items share a batch."""


class LayerRater(Scorer):
    """A scorer of captions that also rates what a picture's layers say side by side (section 4.4).

    Attributes:
        criteria: what it rates by, in order.
    """

    criteria: ClassVar[tuple[str, ...]]

    @property
    def compares(self) -> bool:
        """A rating is a caption's own."""
        return False

    @abstractmethod
    def rate(self, batch: Sequence[RateItem]) -> list[list[list[float]]]:
        """Ratings from 1 (few, poor) to 5 (many, good), [n][layers][criteria]. Items do not depend on one another."""

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        """The mean of a caption's ratings by itself, 0 (each of them 1) to 1 (each of them 5)."""
        # The layer a caption comes from is left out: it shall not move its score.
        items = [
            RateItem((item.caption,), (0,), item.reference, item.gold, item.picture, item.sample) for item in batch
        ]
        return [(sum(ratings) / len(ratings) - 1.0) / 4.0 for (ratings,) in self.rate(items)]


class LogitScorer(ScorerBase):
    """Compares next-token distributions along the unchanged model's caption; no text is generated for a head."""

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})

    @abstractmethod
    def score(self, rows: LogitRows) -> Tensor:
        """One finite number per row, [R]. Must not depend on which rows share a batch, nor on what is masked out."""


class GradientScorer(ScorerBase):
    """Turns the loss's derivatives by head coefficients into importances; one backward pass gives all heads'."""

    needs: ClassVar[frozenset[str]] = frozenset({"gradients"})

    @abstractmethod
    def score(self, gradients: Tensor) -> Tensor:
        """Importances of each sample's heads, finite, [B, L, H].

        Args:
            gradients: [B, L, H], d loss / d s[h] at s = 1 for each sample alone; 0 where a layer has no such head. The
                loss is the mean negative log-likelihood of a token of the unchanged model's caption.
        """


AnyScorer = Scorer | LogitScorer | GradientScorer
"""A scorer of any kind."""


class Listener(Configurable):
    """Hears how a run goes, for a tracker of experiments or a log. Every method does nothing unless it is overridden.

    `started` comes first and once; then `progressed` and `layer_scored`, in the order of the work; `finished` or
    `failed` last and once. A run that goes on where it was cut off is another run to a listener (`run.resumed`).

    What a listener raises in `started` ends the run, before any work is done. What it raises later is announced, it
    hears nothing more, and the run goes on.
    """

    def started(self, run: RunStarted) -> None:
        """The model is loaded, nothing is scored yet."""

    def progressed(self, progress: Progress) -> None:
        """Some more captions, or heads scored without text; often."""

    def layer_scored(self, layer: LayerScored) -> None:
        """All heads of a layer have their importance; of a oneshot run all layers come when the sweep is done."""

    def finished(self, run: RunFinished) -> None:
        """The patch is written."""

    def failed(self, run: RunFailed) -> None:
        """The run ended by an error, or was interrupted."""


class DatasetReader(Configurable, ABC):
    """Opens one kind of dataset."""

    @abstractmethod
    def open(self, ref: str) -> Dataset:
        """The dataset `ref` names, without the `name:` it was chosen by. Pictures stay unopened.

        Raises:
            DataError: a file is missing or malformed, named with its row.
        """
