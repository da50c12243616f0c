"""The scorers: a caption against the picture, and against picture and gold captions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Any, ClassVar

from PIL import Image
from pydantic import Field
from torch import Tensor

from headprune import ScoreItem, Scorer, Settings, UsageError
from headprune_clip.clip import Clip

_REMEMBERED = 20_000  # vectors of each kind: at CLIP's 512 to 1,024 numbers some 40 to 80 MB


class ClipSettings(Settings):
    """Settings of `clipscore` and `refclipscore`.

    Attributes:
        model: a CLIP, by folder or hub id; the default is the paper's.
        revision: of the hub's files: a branch, a tag or a commit.
        w: what the cosine is multiplied by, so that scores spread over 0 to 1.
        prefix: what each caption is read after.
        batch_size: pictures or captions a pass.
        device: a torch device; without it CUDA where there is one, else the CPU.
    """

    model: str = Field(default="openai/clip-vit-base-patch32", min_length=1)
    revision: str | None = None
    w: float = Field(default=2.5, gt=0, allow_inf_nan=False)
    prefix: str = "A photo depicts"
    batch_size: int = Field(default=64, ge=1)
    device: str | None = None


class ClipScore(Scorer):
    """CLIPScore of a caption, w max(cos(E_I, E_C), 0), from the picture's embedding and the caption's (Hessel et al.,
    2021, section 3): 0 to w, in practice hardly above 1. Neither gold captions nor the unchanged model's matter.

    Computed in float32; the authors' program uses half precision on a GPU. Embeddings are remembered: a picture is met
    again in every layer, a caption whenever two variants say the same.

    Raises:
        ModelError: the CLIP cannot be loaded.
        UsageError: the device is not there.
    """

    Settings = ClipSettings
    settings: ClipSettings
    needs: ClassVar[frozenset[str]] = frozenset({"picture"})

    def __init__(self, settings: ClipSettings | None = None) -> None:
        super().__init__(settings)
        self._clip = Clip(self.settings.model, self.settings.revision, self.settings.device)
        # By the id of what opens the picture, which need not be hashable; it is kept, so that its id stays its own.
        self._seen: dict[int, tuple[Callable[[], Image.Image], Tensor]] = {}
        self._read: dict[str, Tensor] = {}

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        """One number for each caption, 0 to w.

        Raises:
            UsageError: an item has no picture.
            PictureError: a picture cannot be opened.
        """
        pictures = [item.picture for item in batch if item.picture is not None]
        if len(pictures) < len(batch):
            raise UsageError("an item has no picture", "clipscore and refclipscore need one for every caption")
        self._see(pictures)
        self._read_all({text for item in batch for text in self._texts(item)})
        return [
            self._one(self._seen[id(item.picture)][1], *(self._read[text] for text in self._texts(item)))
            for item in batch
        ]

    def describe(self) -> dict[str, Any]:
        """Settings that determine the scores, the model by name and fingerprint, and versions.

        The device and the batch size are left out: they move a score by rounding only.
        """
        return {
            "model": self._clip.name,
            "sha256": self._clip.fingerprint,
            **self.settings.model_dump(include={"revision", "w", "prefix"}),
            "versions": {name: version(name) for name in ("transformers", "torch", "pillow")},
        }

    def _texts(self, item: ScoreItem) -> list[str]:
        """What `_one` is given embeddings of."""
        return [item.caption]

    def _one(self, picture: Tensor, caption: Tensor, *gold: Tensor) -> float:
        """The score by unit vectors [d]."""
        return self.settings.w * max(float(picture @ caption), 0.0)

    def _see(self, pictures: Iterable[Callable[[], Image.Image]]) -> None:
        """Make sure that the embeddings of `pictures` are in `_seen`."""
        if len(self._seen) > _REMEMBERED:
            self._seen.clear()
        new = list({id(load): load for load in pictures if id(load) not in self._seen}.values())
        for start in range(0, len(new), self.settings.batch_size):
            some = new[start : start + self.settings.batch_size]
            vectors = self._clip.pictures([load() for load in some])
            self._seen.update((id(load), (load, vector)) for load, vector in zip(some, vectors, strict=True))

    def _read_all(self, captions: set[str]) -> None:
        """Make sure that the embeddings of `captions` are in `_read`."""
        if len(self._read) > _REMEMBERED:
            self._read.clear()
        # sorted: what shares a pass must not depend on the order of a set.
        new = sorted(captions - self._read.keys())
        for start in range(0, len(new), self.settings.batch_size):
            some = new[start : start + self.settings.batch_size]
            vectors = self._clip.texts([f"{self.settings.prefix} {caption}" for caption in some])
            self._read.update(zip(some, vectors, strict=True))


class RefClipScore(ClipScore):
    """RefCLIPScore of a caption: the harmonic mean of its CLIPScore and of max(cos(E_C, E_R), 0) with the gold caption
    R that is most like it (Hessel et al., 2021, section 3). 0 where either is 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"picture", "gold"})

    def _texts(self, item: ScoreItem) -> list[str]:
        if not item.gold:
            raise UsageError(f"sample {item.sample!r} has no gold captions", "refclipscore needs them for every sample")
        return [item.caption, *item.gold]

    def _one(self, picture: Tensor, caption: Tensor, *gold: Tensor) -> float:
        by_picture = super()._one(picture, caption)
        by_gold = max(0.0, *(float(caption @ one) for one in gold))
        return 2 * by_picture * by_gold / (by_picture + by_gold) if by_picture else 0.0
