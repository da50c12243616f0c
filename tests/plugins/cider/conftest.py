"""Truth to test against, where it can be found."""

from __future__ import annotations

import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def coco() -> dict[str, Any]:
    """200 COCO images with captions and pycocoevalcap's values for them; the data is not part of the repository."""
    beside = Path(__file__).resolve().parents[4] / "shared" / "data" / "coco_cider_truth.json"
    file = Path(os.environ.get("HEADPRUNE_COCO_TRUTH", beside))
    if not file.is_file():
        pytest.skip(f"no COCO truth at {file}: set HEADPRUNE_COCO_TRUTH")
    truth: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return truth


@pytest.fixture
def java() -> None:
    """Skips where Stanford's tokenizer cannot run."""
    if find_spec("pycocoevalcap") is None:
        pytest.skip("pycocoevalcap is not installed: pip install 'headprune[ptb]'")
    if shutil.which("java") is None:
        pytest.skip("there is no Java on the PATH")
