"""A small captioner. It stands for the model that you have, and knows no headprune."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

CONFIG, WEIGHTS = "placeholder.json", "model.safetensors"
END = 0
"""The token that ends a caption, and stands before its first word."""


@dataclass(frozen=True)
class Config:
    """Heads of each layer, widths, and pixels of a picture's and of a patch's side."""

    heads: tuple[int, ...] = (4, 4, 4)
    head_width: int = 8
    width: int = 32
    side: int = 32
    patch: int = 8
    words: tuple[str, ...] = ("", "a", "red", "blue", "cat", "dog", "sits", "runs")


class SelfAttention(nn.Module):
    def __init__(self, config: Config, heads: int) -> None:
        super().__init__()
        self.heads, self.head_width = heads, config.head_width
        self.qkv = nn.Linear(config.width, 3 * heads * config.head_width)
        self.output = nn.Linear(heads * config.head_width, config.width)

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, d] -> each head's weights [B, H, T, T] and values [B, H, T, dh]."""
        by_head = self.qkv(x).view(*x.shape[:2], 3, self.heads, self.head_width)
        q, k, v = by_head.permute(2, 0, 3, 1, 4)
        return (q @ k.mT * self.head_width**-0.5).softmax(-1), v

    def forward(self, x: Tensor) -> Tensor:
        weights, values = self.attend(x)
        said: Tensor = self.output((weights @ values).transpose(1, 2).flatten(2))
        return said


class Layer(nn.Module):
    def __init__(self, config: Config, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.attention = SelfAttention(config, heads)
        wide = 4 * config.width
        self.mlp = nn.Sequential(
            nn.Linear(config.width, wide), nn.GELU(), nn.Linear(wide, config.width)
        )

    def forward(self, x: Tensor) -> Tensor:
        attended: Tensor = x + self.attention(self.norm1(x))
        said: Tensor = attended + self.mlp(self.norm2(attended))
        return said


class Tower(nn.Module):
    """Pixels [B, 3, side, side] -> states [B, 1 + patches, width], CLS first."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        patches = (config.side // config.patch) ** 2
        self.embed = nn.Conv2d(3, config.width, config.patch, stride=config.patch)
        self.cls = nn.Parameter(torch.randn(1, 1, config.width))
        self.positions = nn.Parameter(torch.randn(1, 1 + patches, config.width))
        self.layers = nn.ModuleList(Layer(config, heads) for heads in config.heads)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.embed(pixels).flatten(2).mT
        cls = self.cls.expand(len(pixels), -1, -1)
        x = torch.cat([cls, patches], dim=1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return x


class Captioner(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.tower = Tower(config)
        self.norm = nn.LayerNorm(config.width)
        self.words = nn.Embedding(len(config.words), config.width)

    def pixels(self, pictures: Sequence[Image]) -> Tensor:
        """[B, 3, side, side], from -1 to 1: all of a picture, squeezed to a square."""
        size = (self.config.side, self.config.side)
        squares = [np.asarray(picture.resize(size)) for picture in pictures]
        return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2) / 127.5 - 1

    def logits(self, states: Tensor, before: Tensor) -> Tensor:
        """How well each word follows those `before` it, [R, S] -> [R, S, V]."""
        said = self.words(before).cumsum(dim=1)
        # What CLS has seen, and no word has said.
        unsaid = (self.norm(states[:, :1]) - said).tanh()
        logits: Tensor = unsaid @ self.words.weight.T
        return logits

    @torch.no_grad()
    def captions(
        self, states: Tensor, most: int, hear: Callable[[Tensor], None]
    ) -> list[str]:
        """The tower's states [R, T, width] in at most so many words, one at a time.

        `hear` is given the logits [R, V] that each word is chosen by.
        """
        said = torch.full((len(states), 1), END, device=states.device)
        for _ in range(most):
            logits = self.logits(states, said)[:, -1]
            hear(logits)
            said = torch.cat([said, logits.argmax(-1, keepdim=True)], dim=1)
        rows = [row[: [*row, END].index(END)] for row in said[:, 1:].tolist()]
        return [" ".join(self.config.words[word] for word in row) for row in rows]

    def tokens(self, caption: str) -> list[int]:
        """A caption's words as numbers."""
        return [self.config.words.index(word) for word in caption.split()]


def hollow(config: Config) -> Captioner:
    """The model's shape alone: no weight of it is there."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # A layer that lost all its heads is empty.
        return Captioner(config)


def build(config: Config, weights: Mapping[str, Tensor]) -> Captioner:
    """The model with these very weights, which are not copied."""
    model = hollow(config)
    model.load_state_dict(weights, assign=True)
    return model.eval()


def tiny() -> Captioner:
    """A model with weights made of chance, always the same, to try things on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Captioner(Config())
        for weight in model.parameters():
            if weight.dim() > 1:  # Large: every head then makes a difference.
                nn.init.normal_(weight, std=0.3)
    return model.eval()


def read_config(folder: Path) -> Config:
    """The shape of the model in a folder."""
    written = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    heads, words = tuple(written.pop("heads")), tuple(written.pop("words"))
    return Config(heads=heads, words=words, **written)


def load(folder: str | Path) -> Captioner:
    """The model that `save` wrote."""
    return build(read_config(Path(folder)), load_file(Path(folder) / WEIGHTS))


def save(model: Captioner, folder: Path) -> None:
    """Write the model into a folder that is there."""
    (folder / CONFIG).write_text(json.dumps(asdict(model.config)), encoding="utf-8")
    weights = {name: part.contiguous() for name, part in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
