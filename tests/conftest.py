"""What the tests share: tiny models of every supported family and pictures for them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs the tests in the background has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)

FAMILIES = ("blip2-t5", "blip2-opt", "instructblip")


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One saved tiny model a family."""
    from tests.support import tiny

    root = tmp_path_factory.mktemp("tiny")
    return {family: tiny.build(family, root / family) for family in FAMILIES}


@pytest.fixture(scope="session", params=FAMILIES)
def tiny_folder(request: pytest.FixtureRequest, tiny_folders: dict[str, Path]) -> Path:
    return tiny_folders[request.param]


@pytest.fixture
def tiny(tiny_folder: Path):
    """A freshly loaded tiny model of each family in turn."""
    import headprune

    return headprune.load_model(str(tiny_folder))


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Five pictures of noise, different enough that tiny random models speak differently of them."""
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)) for _ in range(5)]
