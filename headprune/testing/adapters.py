"""What every back end promises: the core's identities, on a tiny model that its author gives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from headprune.demo.dataset import held_out
from headprune.testing.near import asked
from headprune.testing.patches import PatchPromises
from headprune.testing.towers import TowerPromises
from headprune.testing.words import Speak, WordPromises
from headprune.towers.adapter import Adapter, Backend
from headprune.towers.batches import Pictures, prepared
from headprune.types import Generation, Sample

_LABELS = 16


class AdapterContract(TowerPromises, WordPromises, PatchPromises):
    """Subclass it as `Test...` and override the fixture `source`:

        @pytest.fixture(scope="module")
        def folder(tmp_path_factory):
            folder = tmp_path_factory.mktemp("tiny")
            ...  # a model of a few layers and heads, with random weights, saved into the folder
            return folder

        class TestMine(AdapterContract):
            @pytest.fixture
            def source(self, folder):
                return MyBackend(), str(folder)

    The model is loaded in float32 on the CPU, and anew for each test. A tower of up to four layers of four heads is
    looked at in full, of a larger one four layers and heads at a time. The other fixtures have defaults that fit most
    models.
    """

    @pytest.fixture
    def source(self) -> tuple[Backend, str]:
        """The back end under test, and the MODEL that it loads: best a folder, of a tiny model whose words follow its
        pictures."""
        raise NotImplementedError("override the fixture `source`")

    @pytest.fixture
    def pictures(self) -> Sequence[Image.Image]:
        """What the model is shown: four pictures of noise. Where pictures go into a tower in forms, give some of each,
        and two of one."""
        noise = np.random.default_rng(0)
        return [Image.fromarray(noise.integers(0, 255, (64, 64, 3), dtype=np.uint8)) for _ in range(4)]

    @pytest.fixture
    def generation(self, adapter: Adapter) -> Generation:
        """How it speaks: greedily, six tokens. A model that chooses among labels, and has none, is given a few."""
        given = [entry.captions[0] for entry in held_out(_LABELS)] if adapter.chooses and not adapter.labels else []
        return Generation(max_new_tokens=6, labels=adapter.labels or tuple(given))

    @pytest.fixture
    def speak(self) -> Speak:
        """How the model itself is asked, with nothing of the adapter: best by the lines of its documentation, with the
        logits [steps, B, V] that words were taken from. By default the adapter's own whole pass."""
        return by_its_own_pass

    @pytest.fixture
    def slices(self) -> Literal[True] | str:
        """True where heads can be taken out; else a word of the reason that the refusal states."""
        return True

    @pytest.fixture
    def adapter(self, source: tuple[Backend, str]) -> Adapter:
        """The model, loaded for this test alone: what one broken promise does to it is not blamed on others."""
        backend, name = source
        return backend.load(asked(name))

    @pytest.fixture
    def samples(self, pictures: Sequence[Image.Image]) -> list[Sample]:
        """The pictures as samples."""
        return _samples(pictures)

    @pytest.fixture
    def groups(self, adapter: Adapter, samples: Sequence[Sample]) -> list[Pictures]:
        """The pictures of each form, prepared."""
        return prepared(adapter, samples)


def by_its_own_pass(
    adapter: Adapter, pictures: Sequence[Image.Image], generation: Generation
) -> tuple[list[str], Tensor | None]:
    """What the adapter says of pictures, each form by itself."""
    samples, said = _samples(pictures), dict[str, str]()
    for group in prepared(adapter, samples):
        states = adapter.last_states(group.pixels, group.form)
        captions = adapter.decode(states, generation, group.form)
        said |= {sample.id: caption for sample, caption in zip(group.samples, captions, strict=True)}
    return [said[sample.id] for sample in samples], None


def _samples(pictures: Sequence[Image.Image]) -> list[Sample]:
    return [Sample(f"picture {number}", (), partial(_same, picture)) for number, picture in enumerate(pictures)]


def _same(picture: Image.Image) -> Image.Image:
    return picture
