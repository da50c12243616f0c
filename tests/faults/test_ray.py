"""Ray's workers and nodes, killed in the middle of a run."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.harness import ENVIRONMENT, PATCH, STORE, rows, share
from tests.support.ray_cluster import Cluster, two_nodes

pytest.importorskip("ray", reason="Ray, headprune[ray], is not installed")
# Longer than the demo run of the other faults: there has to be work left where somebody dies.
SCORED = ("--scorer", "exact", "--scorer-option", "against=reference")
RUN = ("score", "demo", "--data", "demo", "--samples", "150", "--batch-size", "32", *SCORED)
MAIN = "from headprune.cli.app import main; main()"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with two_nodes() as made:
        yield made


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The patch of engine `local`."""
    run = tmp_path_factory.mktemp("local") / "run"
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *RUN, "--out", str(run)], env={**os.environ, **ENVIRONMENT}, check=True
    )
    assert done.returncode == 0
    return (run / PATCH).read_bytes()


@pytest.mark.parametrize("victim", ["worker", "node"])
def test_a_death_costs_its_task_and_nothing_else(cluster, expected, tally, place: Path, victim: str):
    counted, moments = tally(victim), random.Random(7)
    for _ in range(share(5, 1)):
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *RUN, "--engine", "ray", "--address", cluster.address, "--out", "run"],
            cwd=place,
            env={**cluster.environment, **ENVIRONMENT},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            while not (place / "run" / STORE).exists() or not rows(place / "run", "captions"):
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.05)
            time.sleep(moments.uniform(0, 0.5))
            stored = rows(place / "run")
            if victim == "worker":
                cluster.actors()[0].kill()
            else:
                cluster.kill(cluster.nodes[-1])
                cluster.add()
            said, _ = process.communicate(timeout=300)
        finally:
            process.kill()
        survived = process.returncode == 0 and "a worker died" in said
        wrong = process.returncode == 0 and (place / "run" / PATCH).read_bytes() != expected
        counted.fault(survived, said, len(stored - rows(place / "run")), wrong)
        shutil.rmtree(place / "run")
        cluster.wait_for(2)
    counted.check()
