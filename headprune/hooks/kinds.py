"""What a plugin's classes look like: the base class of each kind that needs no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from headprune.errors import UsageError
from headprune.types import Dataset, ScoreItem


class Settings(BaseModel):
    """Settings of a plugin: subclass, give each field a default; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Configurable:
    """Anything made from settings. A subclass that has some sets `Settings` to its class and annotates `settings`."""

    Settings: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: Any = None) -> None:
        self.settings = settings if settings is not None else self.Settings()

    @classmethod
    def configured(cls, options: dict[str, Any]) -> Any:
        """Make one from raw options (a recipe's table, or `key=value` strings of the command line).

        Raises:
            UsageError: an unknown option or a value of the wrong type, each named.
        """
        try:
            return cls(cls.Settings.model_validate(options, strict=False))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            known = ", ".join(cls.Settings.model_fields) or "none"
            raise UsageError(f"option {where!r} of {cls.__name__}: {first['msg']}", f"options: {known}") from error


class Scorer(Configurable, ABC):
    """Compares captions. Batch first; never sees the model.

    Attributes:
        needs: what the items must hold: `"gold"` (gold captions: variant and unchanged model are then each scored
            against gold) or `"picture"`. Without `"gold"` the caption is compared with `item.reference`.
        higher_is_better: the direction of the score.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    higher_is_better: ClassVar[bool] = True

    def fit(self, gold: Sequence[Sequence[str]]) -> None:
        """See the gold captions of the whole dataset once, before the first `score` (document frequencies and such).

        A second `fit` replaces the first.
        """

    @abstractmethod
    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        """One finite float per item, in order. Must not depend on which items share a batch."""

    def describe(self) -> dict[str, Any]:
        """What determines the scores, JSON-able, for the patch. Settings by default; add versions, counts."""
        return dict(self.settings.model_dump(mode="json"))


class DatasetReader(Configurable, ABC):
    """Opens one kind of dataset."""

    @abstractmethod
    def open(self, ref: str) -> Dataset:
        """The dataset `ref` names, without the `name:` it was chosen by. Pictures stay unopened.

        Raises:
            DataError: a file is missing or malformed, named with its row.
        """
