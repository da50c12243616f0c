"""Plugins made on the spot, registered as an installed package's are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Install a one-module package: its name, which is its entry point's too, and its source."""
    from headprune.hooks.catalogue import catalogue

    site = tmp_path / "site"
    site.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(site)

    def installed(name: str, source: str) -> None:
        (site / f"{name}.py").write_text(source, encoding="utf-8")
        record = site / f"{name}_package-1.5.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-package\nVersion: 1.5\n")
        (record / "entry_points.txt").write_text(f"[headprune]\n{name} = {name}\n")
        catalogue.cache_clear()

    yield installed
    catalogue.cache_clear()
    for name in {path.stem for path in site.glob("*.py")} - before:
        sys.modules.pop(name, None)
