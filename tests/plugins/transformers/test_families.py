"""The contract of back ends on every supported family: one that is not in `tests/support/zoo.py` is not supported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from headprune_transformers.backend import TransformersBackend
from headprune_transformers.families import FAMILIES
from transformers.utils import is_torchvision_available

from headprune import Generation, ModelError, export, load_model
from headprune.testing import AdapterContract
from headprune.testing.near import some_heads
from tests.support.zoo import ZOO, Tiny

GENERATION = Generation(max_new_tokens=6)


@pytest.fixture(scope="module", params=ZOO)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def known(name) -> Tiny:
    return ZOO[name]


@pytest.fixture(scope="module")
def folder(known, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("zoo")
    known.build(path)
    return path


def test_every_family_is_in_the_suite():
    assert {known.family for known in ZOO.values()} == {*FAMILIES}


class TestFamily(AdapterContract):
    @pytest.fixture
    def source(self, folder):
        return TransformersBackend(), str(folder)

    @pytest.fixture
    def pictures(self, known):
        return known.pictures()

    @pytest.fixture
    def generation(self, known):
        return known.generation(GENERATION)

    @pytest.fixture
    def speak(self, known):
        return known.vanilla

    @pytest.fixture
    def slices(self, known):
        return known.slices

    def test_geometry_is_what_is_known(self, adapter, known, groups):
        geometry = adapter.geometry
        assert (geometry.layers, geometry.heads, geometry.width) == (known.layers, known.heads, known.width)
        assert (geometry.cls, geometry.dead) == (known.cls, known.dead)
        assert adapter.last_states(groups[0].pixels, groups[0].form).shape[1] == known.tokens

    def test_exported_folded_it_has_all_its_weights(self, adapter, tmp_path):
        written = export(adapter, some_heads(adapter.geometry), tmp_path / "out", {}, how="fold")
        assert written == load_model(str(tmp_path / "out")).parameter_count() == adapter.parameter_count()

    def test_exported_sliced_it_has_the_weights_that_are_left(self, adapter, slices, tmp_path):
        s, out = some_heads(adapter.geometry), tmp_path / "out"
        if slices is not True:
            with pytest.raises(ModelError, match=slices):
                export(adapter, s, out, {}, how="slice")
            assert not out.exists()
            return
        written = export(adapter, s, out, {}, how="slice")
        assert written == load_model(str(out)).parameter_count() == adapter.parameter_count() - weights_of(adapter, s)

    def test_the_cards_lines_load_a_folder_without_headprune(self, adapter, slices, tmp_path):
        """Run in a process that cannot import headprune; loads the very numbers."""
        how = "slice" if slices is True else "fold"
        export(adapter, some_heads(adapter.geometry), tmp_path / "out", {}, how)
        again = load_model(str(tmp_path / "out"))
        code = (
            "import sys, json\n"
            "sys.modules['headprune'] = sys.modules['headprune_transformers'] = None\n"
            f"FOLDER = {str(tmp_path / 'out')!r}\n{runnable(again.loading())}\n"
            "print(json.dumps({k: float(v.double().abs().sum()) for k, v in model.state_dict().items()}))\n"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr[-2000:]
        found = json.loads(run.stdout.splitlines()[-1])
        expected = {key: float(value.double().abs().sum()) for key, value in again.model.state_dict().items()}
        assert found == pytest.approx(expected)


def weights_of(adapter, s: np.ndarray) -> int:
    """What silent heads take with them: rows of q, k and v with their biases, columns of the output projection."""
    lost = 0
    for site, row in zip(adapter.sites, s, strict=True):
        columns = int((row == 0).sum()) * adapter.geometry.head_width
        lost += columns * site.output.out_features
        for linear in site.qkv:
            rows = columns * (3 if len(site.qkv) == 1 else 1)
            lost += rows * (linear.in_features + (linear.bias is not None))
    return lost


def runnable(lines: str) -> str:
    """Without what is said to need torchvision, where there is none."""
    return "\n".join(line for line in lines.splitlines() if is_torchvision_available() or "torchvision" not in line)
