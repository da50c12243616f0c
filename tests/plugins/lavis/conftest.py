"""Tiny LAVIS models, where LAVIS is installed: `make test-lavis` makes the environment and runs these tests."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")

from tests.cli.conftest import Place, furnish
from tests.support import tiny_lavis


@pytest.fixture(scope="session", autouse=True)
def lavis_is_there() -> None:
    if find_spec("lavis") is None:
        pytest.skip("salesforce-lavis needs an environment of its own: make test-lavis")


@pytest.fixture(scope="session")
def zoo(lavis_is_there: None, tmp_path_factory: pytest.TempPathFactory):
    """A folder to stand in: LAVIS's zoo has the tiny models in it, and its towers are small."""
    from headprune_lavis.standalone import import_lavis

    import_lavis()
    folder = tmp_path_factory.mktemp("zoo")
    with pytest.MonkeyPatch.context() as patching, tiny_lavis.small_towers():
        patching.chdir(folder)
        tiny_lavis.build(folder)
        for cls, types in tiny_lavis.known(folder).items():
            patching.setattr(cls, "PRETRAINED_MODEL_CONFIG_DICT", {**cls.PRETRAINED_MODEL_CONFIG_DICT, **types})
        yield folder


@pytest.fixture(params=tiny_lavis.names())
def name(request: pytest.FixtureRequest) -> str:
    """MODEL of each tiny model in turn."""
    return request.param


@pytest.fixture
def tiny(zoo: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    """A freshly loaded tiny model of each class and tower in turn."""
    import headprune

    monkeypatch.chdir(zoo)
    return headprune.load_model(name)


@pytest.fixture
def lavis_place(zoo: Path, tmp_path: Path, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch) -> Place:
    """A folder to run commands in, in which LAVIS finds its BERT."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert-base-uncased").symlink_to(zoo / "bert-base-uncased")
    return furnish(tmp_path, zoo, pictures)
