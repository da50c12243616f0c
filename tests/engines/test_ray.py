"""Engine `ray` on a real cluster of nodes that are processes: the bytes of engine `local`, whatever dies."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.ray_cluster import Cluster, two_nodes

pytest.importorskip("ray", reason="Ray, headprune[ray], is not installed")
MAIN = "from headprune.cli.app import main; main()"
DEMO = ("score", "demo", "--data", "demo", "--seed", "5", "--layers", "1-3")
# One scorer of each kind, an edit that compares pictures, a schedule in which layers follow one another, and a model
# that is placed part by part.
WAYS = {
    "captions": ("--samples", "24", "--scorer", "rouge"),
    "sequential": ("--samples", "8", "--scorer", "rouge", "--schedule", "sequential"),
    "means": ("--samples", "8", "--scorer", "rouge", "--edit", "mean-ablate", "--decode-at", "last"),
    "likelihoods": ("--samples", "24", "--scorer", "logit"),
    "a device map": ("--samples", "8", "--scorer", "rouge", "--device", "cpu", "--device-map", "cpu"),
    "gradients": ("--samples", "24", "--scorer", "gradient"),
}


BAD = """
import headprune

class Bad(headprune.LogitScorer):
    def score(self, rows):
        raise ZeroDivisionError("no such luck")
"""


STOPPED = """
import sys
from headprune.jobs.engines.ray_engine import RayEngine
from headprune.jobs.opening import dataset_for
from headprune.jobs.settings import settings_for
from headprune.recipes import resolve
from headprune.scoring.sampling import draw
from headprune.scoring.algorithm import score_heads

asked = {"model": "demo", "data": "demo", "samples": 24, "scorer": "rouge", "layers": "1-3", "engine": "ray"}
recipe = resolve(None, {**asked, "ray": {"address": sys.argv[1]}}).recipe
delivered, others = 0, None

def stop():
    global delivered, others
    delivered += 1
    if others is None and engine.pool.busy:
        others = engine.pool.busy
        print(delivered, others)
    if others is not None:
        raise KeyboardInterrupt

if __name__ == "__main__":
    with RayEngine(recipe) as engine:
        dataset = dataset_for(recipe)
        settings = settings_for(recipe)(engine.facts.geometry, engine.batch(None), recipe.generation.plain())
        try:
            score_heads(engine, dataset, draw(dataset, 24, 0), settings, None, stored=stop)
        except KeyboardInterrupt:
            print("stopped after", delivered)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with two_nodes() as made:
        yield made


def command(cluster: Cluster, *words: str) -> subprocess.Popen[str]:
    """A command that talks to the cluster, with one thread, begun."""
    environment = {**cluster.environment, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *words],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """How a command ended, and what it said."""
    try:
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
    return process.returncode, out, err


def local(cluster: Cluster, way: str, out: Path) -> bytes:
    """The patch of engine `local`."""
    code, _, err = ended(command(cluster, *DEMO, *WAYS[way], "--out", str(out)))
    assert code == 0, err
    return (out / "patch.safetensors").read_bytes()


def captions_in(run: Path) -> int:
    """How many captions a run holds by now."""
    try:
        with closing(sqlite3.connect(f"file:{run / 'run.sqlite'}?mode=ro", uri=True)) as store:
            return int(store.execute("SELECT count(*) FROM captions").fetchone()[0])
    except sqlite3.Error:
        return 0


@pytest.mark.parametrize("way", WAYS)
def test_the_patch_is_that_of_engine_local(cluster, tmp_path, way):
    expected = local(cluster, way, tmp_path / "local")
    ray = command(
        cluster,
        *DEMO,
        *WAYS[way],
        "--engine",
        "ray",
        "--address",
        cluster.address,
        "--out",
        str(tmp_path / "ray"),
        "--json",
    )
    code, out, err = ended(ray)
    assert code == 0, err
    assert (tmp_path / "ray/patch.safetensors").read_bytes() == expected
    # Another engine goes on with the same run, and finds it done.
    again = json.loads(ended(command(cluster, *DEMO, *WAYS[way], "--out", str(tmp_path / "ray"), "--json"))[1])
    assert again["decoded"] == 0 and again["reused"] == json.loads(out)["decoded"]


def test_a_worker_more_is_found_as_soon_as_there_is_a_node_for_it(tmp_path):
    alone = Cluster(Path(tempfile.mkdtemp(prefix="hp", dir="/tmp")))
    try:
        alone.add()
        run = tmp_path / "run"
        process = command(
            alone,
            *DEMO,
            "--samples",
            "80",
            "--scorer",
            "rouge",
            "--batch-size",
            "2",
            "--engine",
            "ray",
            "--address",
            alone.address,
            "--out",
            str(run),
        )
        while captions_in(run) == 0:
            assert process.poll() is None, ended(process)
            time.sleep(0.05)
        assert len(alone.actors()) == 1
        alone.add()
        most = 1
        while process.poll() is None and most < 2:
            most = max(most, len(alone.actors()))
            time.sleep(0.1)
        assert most == 2
        code, _, err = ended(process)
        assert code == 0, err
    finally:
        alone.close()


def test_what_others_are_at_when_a_run_is_asked_to_stop_is_stored_too(cluster):
    environment = {**cluster.environment, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, cluster.address],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    asked, others = map(int, first.split())
    assert others == 1 and last == f"stopped after {asked + others}"


def test_what_a_worker_raises_is_said_as_here(cluster, tmp_path):
    (tmp_path / "mine.py").write_text(BAD)
    scorer = f"{tmp_path / 'mine.py'}:Bad"
    words = (*DEMO, "--samples", "4", "--scorer", scorer, "--out", str(tmp_path / "run"))
    here = ended(command(cluster, *words))
    shutil.rmtree(tmp_path / "run")
    there = ended(command(cluster, *words, "--engine", "ray", "--address", cluster.address))
    assert here[0] == there[0] == 3
    error = next(line for line in here[2].splitlines() if line.startswith("error:"))
    assert "no such luck" in error and error in there[2].splitlines()


def test_a_cluster_that_cannot_be_had_is_said(cluster, tmp_path):
    options = ("--samples", "4", "--engine", "ray", "--address", "127.0.0.1:9")
    code, _, err = ended(command(cluster, *DEMO, *options, "--out", str(tmp_path / "run")))
    assert code == 1 and "Ray's cluster at 127.0.0.1:9 cannot be had" in err and "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_settings_for_ray_that_play_no_part_are_said(cluster, tmp_path):
    options = ("--samples", "2", "--scorer", "rouge", "--address", cluster.address)
    code, _, err = ended(command(cluster, *DEMO, *options, "--out", str(tmp_path / "run")))
    assert code == 0 and "note: the engine is local: settings for Ray play no part (--engine ray)" in err


def test_a_worker_that_no_node_has_room_for_is_said(cluster, tmp_path):
    (tmp_path / "recipe.toml").write_text("[ray]\ncpus = 7\n")
    words = (
        "--samples",
        "4",
        "--recipe",
        str(tmp_path / "recipe.toml"),
        "--engine",
        "ray",
        "--address",
        cluster.address,
    )
    code, _, err = ended(command(cluster, *DEMO, *words, "--out", str(tmp_path / "run")))
    assert code == 1 and "no node of the cluster has room for a worker, which needs 7 CPU, 2." in err
