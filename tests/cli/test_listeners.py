"""Who listens to a run hears of all of it, and harms none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from headprune import load_patch

EAR = """
import json
from dataclasses import asdict
from pathlib import Path

import headprune

class EarSettings(headprune.Settings):
    path: str = "heard.jsonl"
    deaf_to: str = ""

class Ear(headprune.Listener):
    Settings = EarSettings

    def hear(self, what, event):
        if what == self.settings.deaf_to:
            print("about to fail")
            raise RuntimeError("no such luck")
        with open(self.settings.path, "a") as file:
            file.write(json.dumps([what, asdict(event)], default=str) + chr(10))

    def started(self, run):
        self.hear("started", run)

    def progressed(self, progress):
        self.hear("progressed", progress)

    def layer_scored(self, layer):
        self.hear("layer_scored", layer)

    def finished(self, run):
        self.hear("finished", run)

    def failed(self, run):
        self.hear("failed", run)
"""
LINE = 1 + EAR.splitlines().index('            raise RuntimeError("no such luck")')


@pytest.fixture
def ear(place):
    (place / "ear.py").write_text(EAR)
    return place


def heard(place) -> list[tuple[str, dict]]:
    path = place / "heard.jsonl"
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.is_file() else []


LISTEN = ("--listener", "./ear.py:Ear", "--samples", 4, "--out", "run")


@pytest.mark.parametrize("more", [(), ("--schedule", "sequential")], ids=["oneshot", "sequential"])
def test_a_run_is_heard_from_start_to_end(ear, score, more):
    document = ear.document(*score, *LISTEN, *more)
    events = heard(ear)
    (kind, started), (last, finished) = events[0], events[-1]
    assert (kind, last) == ("started", "finished")
    layers = [event for kind, event in events if kind == "layer_scored"]
    assert {kind for kind, _ in events[1:-1]} == {"progressed", "layer_scored"}
    patch = load_patch(ear / "run" / "patch.safetensors")
    assert started["sample_ids"] == list(patch.info.sample_ids) and started["resumed"] is False
    assert started["settings"]["samples"] == 4 and started["scorer"]["name"] == patch.info.scorer["name"]
    assert [layer["layer"] for layer in layers] == started["layers"] == list(patch.scored)
    for layer, told in zip(layers, document["layers"], strict=True):
        for name in ("importance", "alpha"):
            means = [head["mean"] for head in layer[name]]
            np.testing.assert_allclose(means, getattr(patch, name)[layer["layer"]], rtol=1e-6)
            for limit in ("low", "high"):
                assert [head[limit] for head in layer[name]] == told[name][limit]
    assert finished["patch"] == "run/patch.safetensors" and finished["decoded"] == document["decoded"]
    if more:
        # As they come: no layer's captions are made before the one before it is scored.
        order = [event.get("layer", event.get("stage")) for kind, event in events if kind != "started"]
        assert order.index(0) < order.index("captions of layer 1")
    (ear / "heard.jsonl").unlink()
    ear.document(*score, *LISTEN, *more)
    assert heard(ear)[0][1]["resumed"] is True and heard(ear)[-1][1]["decoded"] == 0


def test_a_listener_changes_nothing_of_the_run(ear, score):
    ear.document(*score, *LISTEN)
    ear.document(*score, "--samples", 4, "--out", "silent")
    assert (ear / "run" / "patch.safetensors").read_bytes() == (ear / "silent" / "patch.safetensors").read_bytes()
    assert ear.document(*score, "--samples", 4, "--out", "run")["decoded"] == 0


def test_one_that_fails_at_the_start_ends_the_run_before_it_costs_anything(ear, score):
    said = ear.refuses(3, *score, *LISTEN, "--listener-option", "deaf_to=started")
    assert f"listener './ear.py:Ear' failed at ear.py line {LINE}: RuntimeError: no such luck" in said
    assert "prints to stdout" in said and not (ear / "run").exists()


@pytest.mark.parametrize("moment", ["progressed", "layer_scored", "finished"])
def test_one_that_fails_later_is_announced_and_hears_nothing_more(ear, score, moment):
    done = ear.run(*score, *LISTEN, "--listener-option", f"deaf_to={moment}")
    assert done.exit_code == 0 and (ear / "run" / "patch.safetensors").is_file()
    said = " ".join(done.stderr.split())
    assert f"failed at ear.py line {LINE}: RuntimeError: no such luck; the run goes on without it" in said
    assert moment not in {kind for kind, _ in heard(ear)} and "finished" not in {kind for kind, _ in heard(ear)}


def test_it_hears_why_a_run_failed(ear, score):
    (ear / "fault").touch()
    words = [*score, *LISTEN, "--scorer", "./overlap.py:Faulty"]
    assert ear.run(*words).exit_code == 3
    kind, failed = heard(ear)[-1]
    assert kind == "failed" and failed["kind"] == "PluginError" and "no such luck" in failed["reason"]
    done = ear.run(*words, "--listener-option", "deaf_to=failed")
    assert done.exit_code == 3 and "goes on without it" in done.stderr


def test_an_interruption_is_heard(ear, score, monkeypatch):
    from headprune.jobs import score as job

    def stopped(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "score_heads", stopped)
    assert ear.run(*score, *LISTEN).exit_code == 130
    assert heard(ear)[-1][1]["kind"] == "KeyboardInterrupt"


def test_mistakes_are_said(ear, score):
    assert "options for a listener" in ear.refuses(2, *score, "--listener-option", "path=x", "--out", "run")
    assert "no listener called 'jsnol'" in ear.refuses(3, *score, "--listener", "jsnol", "--out", "run")
    wrong = (*score, *LISTEN, "--listener-option", "file=x")
    assert "Ear has no option 'file'" in ear.refuses(2, *wrong)
    other = (*score, "--listener", "./overlap.py:Overlap", "--out", "run")
    assert "no subclass of headprune.Listener" in ear.refuses(3, *other)
    (ear / "run.toml").write_text('listener = "./ear.py:Ear"\n')
    assert "listener names a file" in ear.refuses(2, *score, "--recipe", "run.toml", "--out", "run")
    done = ear.run(*score, "--recipe", "run.toml", "--allow-local-plugins", "--samples", 4, "--out", "run")
    assert done.exit_code == 0 and heard(ear)[-1][0] == "finished"
