"""Run folders without a model behind them: made-up results, as a report reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headprune import Patch
from headprune.patch.file import save_patch
from headprune.patch.patch import ModelRecord
from headprune.perspectives.heads import Heads
from headprune.perspectives.heatmap import Heatmap, Outlier, PictureMaps
from headprune.perspectives.layers import Layers
from headprune.perspectives.run import PatchRecord, Run, RunInfo, SampleRecord, save_run
from headprune.runs.store import RunStore
from headprune.scoring.kept import keep_importances
from headprune.types import Grid, Interval
from tests.support.patches import patch_of

MODEL = ModelRecord(
    name="m", backend="b", revision=None, layers=3, heads=2, width=8, head_width=4, cls=True, ragged=(), fingerprint="f"
)
PATCH = PatchRecord(digest="0123456789abcdef", scale="none", prune="count=1", silent=((1, 0),))

# Captions that would do something if they were more than text; {} as in `Runs`.
HOSTILE = [
    "<script>alert(1)</script> {}",
    '"><img src=x onerror=alert(1)> {}',
    "{{ 7*7 }} {% raw %} {}",
    "</style></script><b>bold</b> {}",
    "' autofocus onfocus=alert(1) x=' {}",
    "&lt;b&gt; &amp; {}",
]


class Runs:
    """Runs of one made-up model in `folder`: n pictures, `layers` layers, `heads` heads, maps of `grid` patches.

    Attributes:
        caption: what every layer and head says, and every person; {} in it becomes where it comes from.
    """

    def __init__(
        self, folder: Path, n: int = 2, layers: int = 3, heads: int = 2, grid: int = 4, caption: str = "caption {}"
    ) -> None:
        self.folder = folder
        self.n, self.layers, self.heads, self.grid = n, layers, heads, grid
        self.caption = caption
        self.model = MODEL.model_copy(update={"layers": layers, "heads": heads})
        self.data = "data"
        self.ids = [f"p{number}.png" for number in range(n)]
        self.rng = np.random.default_rng(0)

    def say(self, where: object) -> str:
        return self.caption.replace("{}", str(where))

    def save(self, name: str, kind: str, before: Any, after: Any = None) -> Path:
        """A run folder of what was found."""
        folder = self.folder / name
        (folder / "pictures").mkdir(parents=True)
        samples = []
        for number, sample in enumerate(self.ids):
            small = self.rng.integers(0, 255, (12, 16, 3)).astype(np.uint8)
            Image.fromarray(small).resize((384, 288)).save(folder / "pictures" / f"{number:04d}.jpg", quality=88)
            gold = (self.say(f"of people {number}"),)
            samples.append(SampleRecord(id=sample, captions=gold, picture=f"pictures/{number:04d}.jpg"))
        info = RunInfo(
            kind=kind,
            versions={"headprune": "0"},
            model=self.model,
            data=self.data,
            seed=0,
            samples=tuple(samples),
            left_out=0,
            layers=tuple(range(self.layers)),
            scorer="overlap",
            generation={"num_beams": 1},
            patch=PATCH if after else None,
            seconds=1.25,
        )
        save_run(Run(folder, info, before, after))
        (folder / "recipe.toml").write_text(f'model = "m"\ndata = "{kind}"\n')
        return folder

    def layers_found(self, side: str = "before") -> Layers:
        rows = [[self.say(f"{side} {number}.{layer}") for layer in range(self.layers)] for number in range(self.n)]
        captions = tuple(tuple(row) for row in rows)
        scores = self.rng.uniform(0, 1, (self.n, self.layers))
        change = tuple(Interval(float(mean), float(mean) - 0.1, float(mean) + 0.1) for mean in scores.mean(axis=0))
        return Layers(tuple(range(self.layers)), captions, captions, False, scores, change)

    def heatmap_found(self, layers: tuple[int, ...] | None = None) -> Heatmap:
        layers = tuple(range(self.layers)) if layers is None else layers
        size = (len(layers), self.heads, self.grid, self.grid)
        box = (0.125, 0.0, 0.875, 1.0)
        grid = Grid(self.grid, self.grid, tuple(range(1, self.grid**2 + 1)), 0, box)
        pictures = []
        for sample in self.ids:
            heads = self.rng.uniform(0, 0.1, size)
            maps = heads.mean(axis=1)
            maps[0, 1, 2] = np.nan
            pictures.append(PictureMaps(sample, grid, maps, heads, (Outlier(layers[0], 1, 2, 9.5),)))
        numbers = self.rng.uniform(0, 1, (4, self.n, len(layers)))
        means = tuple(tuple(Interval(float(m), float(m) - 0.1, float(m) + 0.1) for m in row.mean(0)) for row in numbers)
        return Heatmap(layers, "cls", 5.0, *numbers, *means, tuple(pictures))

    def heads_found(self, layers: tuple[int, ...] | None = None, side: str = "before") -> Heads:
        layers = tuple(range(self.layers)) if layers is None else layers
        captions = tuple(
            tuple(tuple(self.say(f"{side} {n}.{layer}.{head}") for head in range(self.heads)) for layer in layers)
            for n in range(self.n)
        )
        unchanged = tuple(tuple(self.say(f"whole {n}.{layer}") for layer in layers) for n in range(self.n))
        return Heads(layers, "isolate", captions, unchanged, self.heatmap_found(layers))

    def score(self, name: str = "score") -> tuple[Path, Patch]:
        """A finished score run."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        per_sample = self.rng.uniform(0, 1, (4, self.layers, self.heads))
        per_sample[:, ~self.model.present] = np.nan
        patch = patch_of(per_sample.mean(axis=0), model=self.model)
        patch = Patch(
            patch.importance, patch.alpha, patch.scale, patch.samples, patch.info.model_copy(update={"dataset": "data"})
        )
        store = RunStore.open(folder)
        keep_importances(store, patch, per_sample, tuple(range(self.layers)))
        store.close()
        save_patch(patch, folder / "patch.safetensors")
        (folder / "recipe.toml").write_text('model = "m"\n')
        return folder, patch

    def three(self, after: bool = False) -> list[Path]:
        """A run of layers, of heat maps and of heads; with a patch applied as well where asked for."""
        return [
            self.save("layers", "layers", self.layers_found(), self.layers_found("after") if after else None),
            self.save("heatmap", "heatmap", self.heatmap_found(), self.heatmap_found() if after else None),
            self.save("heads", "heads", self.heads_found(), self.heads_found(side="after") if after else None),
        ]


def evaluation(patch: Patch, rule: str = "count=1") -> dict[str, Any]:
    """What `headprune evaluate` keeps beside a patch."""

    def side(mean: float) -> dict[str, Any]:
        interval = {"mean": mean, "low": mean - 0.1, "high": mean + 0.1}
        return {"score": interval, "convergence_layer": None, "parameters": 1234567, "seconds_per_image": 0.0125}

    document = {
        "samples": 9,
        "before": side(1.5),
        "after": side(1.25),
        "difference": {"mean": -0.25, "low": -0.5, "high": -0.125},
        "control": {"scores": [1.0, 1.5], "beaten": 1, "better_than_chance": False},
        "excluded": 4,
        "scorer": "cider",
    }
    return {"patch": patch.digest(), "scale": "none", "prune": rule, "evaluation": document}
