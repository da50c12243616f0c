"""What a model family's plugin provides: a loaded model that headprune can look into and put into words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from headprune.errors import ModelError
from headprune.towers.capture import Trace, trace
from headprune.towers.layout import Site, TowerLayout, find_sites, measure
from headprune.types import Form, Generation, Geometry, Grid, ModelRef

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What to load: `name` is a folder or a hub id; `dtype`, `device` are torch's names or `auto`. `backend` is the one
    that was asked for by name or `./file.py:Class`; None where the model's own name tells."""

    name: str
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    device_map: str | None = None
    backend: str | None = None


@dataclass(frozen=True, slots=True)
class Outline:
    """A model known by its configuration only: nothing was downloaded but that, no weight was made.

    Attributes:
        geometry: of the tower.
        tokens: T, tokens of one picture in the tower; of one of 640 x 480 where that depends on the picture.
        parameters: of the whole model; `tower_parameters`: of the tower.
        bytes_per_parameter: in the dtype it would be loaded in.
        download: bytes of weights to fetch; 0 for a local folder, None where the hub did not say.
    """

    geometry: Geometry
    tokens: int
    parameters: int
    tower_parameters: int
    bytes_per_parameter: int
    download: int | None


@dataclass(frozen=True, slots=True)
class TeacherForced:
    """What a model thinks of given captions, token by token.

    Attributes:
        log_probs: [R, S, V] float32 (float64 where the model is), of every token to come next.
        tokens: [R, S], the captions' tokens, an end token behind each that was not cut; filled up behind it.
        mask: [R, S] bool, which of the tokens are the caption's; one at least.
    """

    log_probs: Tensor
    tokens: Tensor
    mask: Tensor

    @property
    def chosen(self) -> Tensor:
        """[R, S], log-probability of each token; 0 behind the caption."""
        return self.log_probs.gather(-1, self.tokens[..., None])[..., 0] * self.mask


@dataclass(frozen=True, slots=True)
class Attention:
    """What a layer's heads take, and what they take it of: x[h] = a[h] v[h] (Eq. 6-7).

    Attributes:
        weights: a, [B, H, T, T] float32: token j takes a[b, h, j, i] of token i. Rows sum to 1; tokens that the tower
            keeps apart (windows, tiles) have 0 between them.
        values: v, [B, H, T, dh], in the tower's dtype.
    """

    weights: Tensor
    values: Tensor


class Adapter(ABC):
    """A loaded model. A family declares its layout, and says how pictures go in and how words come out.

    Args:
        model: the loaded model, in eval mode.
        layout: where its tower keeps its parts.
        ref: where it came from.

    Attributes:
        chooses: whether its words are one of a list of labels: a caption is then one step, which chooses among them.
    """

    chooses: ClassVar[bool] = False

    def __init__(self, model: nn.Module, layout: TowerLayout, ref: ModelRef) -> None:
        self.model = model
        self.layout = layout
        self.ref = ref

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """The tower's layers, first to last."""
        return find_sites(self.model, self.layout)

    @cached_property
    def geometry(self) -> Geometry:
        """The tower's geometry."""
        return measure(self.sites, self.layout)

    @property
    def tower(self) -> nn.Module:
        """The tower, the module that is given pixels."""
        return self.model.get_submodule(self.layout.tower)

    @property
    def device(self) -> torch.device:
        """Where the tower's first layer lives, and pictures go."""
        return self.sites[0].output.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The tower's dtype."""
        return self.sites[0].output.weight.dtype

    @property
    def speech_dtype(self) -> torch.dtype:
        """What is computed in behind the tower; captions and likelihoods are no more exact than that."""
        return self.dtype

    def parameter_count(self) -> int:
        """Parameters of the whole model."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @cached_property
    def reads(self) -> tuple[int, ...]:
        """Depths of Z that the connector reads, of 0..L; L alone for most."""
        return self.layout.depths(len(self.sites))

    @torch.no_grad()
    def trace(
        self, pixels: Tensor, capture: Collection[int] = (), depths: Collection[int] = (), form: Form = None
    ) -> Trace:
        """One tower pass over `pixels` of one form; see `headprune.towers.capture.trace`."""
        return self.pass_through(pixels, capture, depths, form)

    def pass_through(
        self, pixels: Tensor, capture: Collection[int] = (), depths: Collection[int] = (), form: Form = None
    ) -> Trace:
        """As `trace`, differentiable where gradients are on."""
        return trace(self.sites, lambda: self.encode(pixels, form), len(pixels), self.reads, form, capture, depths)

    def last_states(self, pixels: Tensor, form: Form = None) -> Tensor:
        """What is read of one tower pass over `pixels`, [B, T, d] (or n*d): what the model itself puts into words."""
        last = self.geometry.layers
        return self.trace(pixels, depths=[last], form=form).states[last]

    def form(self, picture: Image) -> Form:
        """How a picture would be cut up. Only pictures of one form go through the tower together."""
        return None

    @abstractmethod
    def grids(self, picture: Image) -> tuple[Grid, ...]:
        """Which part of a picture each token is: one grid, or of a picture in tiles one a tile, of which the first
        shows the whole picture. Tokens of no grid (CLS, registers) stand before the patches.

        Raises:
            ModelError: the picture is prepared in a way that tells nothing of it.
        """

    @property
    @abstractmethod
    def tokens(self) -> int:
        """T, tokens of one picture in the tower; of one of 640 x 480 where that depends on the picture."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that a model which chooses has of its own; empty where `generation` has to bring them."""
        return ()

    @abstractmethod
    def distributions(self, generation: Generation) -> tuple[int, int]:
        """(S, V): steps of the longest caption, and tokens (or labels) that each is chosen from."""

    @abstractmethod
    def prepare(self, pictures: Sequence[Image]) -> Tensor:
        """RGB pictures of one form -> pixels [B, ...] on the model's device, in its dtype."""

    @abstractmethod
    def encode(self, pixels: Tensor, form: Form = None) -> None:
        """Run the tower's own forward on `pixels`, once; the answer is read by hooks."""

    @abstractmethod
    def attention(self, pixels: Tensor, layers: Collection[int], form: Form = None) -> dict[int, Attention]:
        """layer -> the attention of its H heads (of none, where it lost them all), of one tower pass (Eq. 6-7)."""

    @abstractmethod
    def decode(self, states: Tensor, generation: Generation, form: Form = None) -> list[str]:
        """D(Z) (Eq. 9): states of any depth -> norm -> connector -> language model -> R captions.

        Args:
            states: [R, T, n*d], what is read of a tower that stopped anywhere; n is 1 for most.
            generation: how captions are generated.
            form: of the rows' pictures.

        Raises:
            NumberError: the logits of a row's words are no numbers (NaN or infinite); `NumberCheck` sees that.
        """

    @abstractmethod
    def without_heads(self, kept: Sequence[Sequence[int]]) -> Adapter:
        """The same model with only the `kept` heads of each layer, [L][heads], left in its tower.

        All other weights are shared with this adapter, which stays as it is.

        Raises:
            ModelError: heads of this family cannot be taken out.
        """

    @abstractmethod
    def likelihood(
        self, states: Tensor, captions: Sequence[str], generation: Generation, form: Form = None
    ) -> TeacherForced:
        """How likely D(Z) finds given captions, whose every token it is given in turn.

        Args:
            states: [R, T, n*d] of any depth; gradients flow back to them where they are on.
            captions: R, as `decode` words them. Each is tokenised again and ends with the end token, unless it has
                `max_new_tokens` tokens, at which it was cut; an empty one is the end token alone.
            generation: how the captions were generated; the prompt is asked again.
            form: of the rows' pictures.
        """

    @torch.no_grad()
    def probability(self, states: Tensor, captions: Sequence[str], generation: Generation, form: Form = None) -> Tensor:
        """[R], how probable D(Z) finds given captions as a whole. Arguments as for `likelihood`."""
        return self.likelihood(states, captions, generation, form).chosen.sum(dim=-1).exp()

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write model, processor and generation settings into `folder`, loadable without headprune."""

    def convert(self, folder: Path) -> None:
        """Write the model as the transformers checkpoint of the same weights into `folder`.

        Raises:
            ModelError: it is one already, or transformers has no such model.
        """
        raise ModelError(
            f"{self.ref} is a {self.ref.backend} model, and has no other form to be converted to",
            "lavis:ARCH/TYPE is converted to a transformers checkpoint",
        )

    @abstractmethod
    def loading(self) -> str:
        """Lines of Python that load what `save` writes into FOLDER, without headprune; for the model card."""


class Backend(ABC):
    """What an adapter plugin's target names: how its models are found and loaded."""

    @abstractmethod
    def load(self, request: LoadRequest) -> Adapter:
        """Load the model.

        Raises:
            ModelError: it is not there, its family is not supported (the supported ones are named), or it has no
                safetensors weights.
        """

    @abstractmethod
    def outline(self, request: LoadRequest) -> Outline:
        """What the model is, without loading it. Raises as `load` does."""
