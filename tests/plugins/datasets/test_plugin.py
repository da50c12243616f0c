"""What the plugin offers, and what offering it costs."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
from headprune_datasets.plugin import headprune_datasets

from headprune import DatasetReader, DatasetSpec


@pytest.mark.parametrize("spec", headprune_datasets(), ids=lambda spec: spec.name)
def test_each_spec_leads_to_a_reader(spec: DatasetSpec) -> None:
    module, _, name = spec.target.partition(":")
    assert issubclass(getattr(import_module(module), name), DatasetReader)


def test_offering_the_readers_imports_nothing_heavy() -> None:
    code = "import sys, headprune_datasets.plugin as p; p.headprune_datasets(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {"torch", "numpy", "PIL", "datasets", "pyarrow", "pydantic"} & set(done.stdout.split())
