"""headprune plugins check: promises kept, broken and left out, and what has to be said first."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from headprune.hooks.catalogue import catalogue
from headprune.hooks.kinds import LayerRater, Scorer
from headprune.jobs import check as job

WRONG = '''
import headprune

class Careless(headprune.Scorer):
    """One score too few."""

    def score(self, batch):
        return [1.0 for item in batch][1:]

class Crashing(headprune.Scorer):
    """Knows Latin letters only."""

    def score(self, batch):
        return [float(len(item.caption.encode("latin-1"))) for item in batch]

class Dear(headprune.Scorer):
    """Asks a paid service."""

    def expense(self, calls, captions):
        return headprune.Expense("the oracle", calls, 0, 10 * calls * captions, calls, None)

    def score(self, batch):
        return [float(item.caption == item.reference) for item in batch]

class Settled(headprune.Scorer):
    class Settings(headprune.Settings):
        step: float = 0.0

    def score(self, batch):
        """Not the same twice, if it is set to."""
        self.last = getattr(self, "last", 0.0) + self.settings.step
        return [self.last for item in batch]

class Plain:
    pass
'''


@pytest.fixture
def wrong(place):
    (place / "wrong.py").write_text(WRONG)
    return place


def test_a_plugin_that_keeps_all(place):
    result = place.run("plugins", "check", "bleu")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    count = sum(line.startswith("kept ") for line in lines)
    assert count > 10 and lines[-1] == f"bleu keeps all {count} promises of a scorer"
    assert result.stderr == "trying what a scorer promises\n"


def test_a_promise_that_is_broken_names_file_and_line(wrong):
    result = wrong.run("plugins", "check", "./wrong.py:Crashing")
    assert result.exit_code == 3
    text = " ".join(result.stdout.split())
    assert "broken Empty, blank, very long and non-Latin captions get a finite score" in text
    assert "UnicodeEncodeError" in text and "(wrong.py line 14)" in text
    assert text.endswith(" promises of a scorer") and "./wrong.py:Crashing breaks " in text


def test_the_document(wrong):
    result = wrong.run("plugins", "check", "./wrong.py:Careless", "--json")
    assert result.exit_code == 3
    document = json.loads(result.stdout)
    assert document.keys() == {"name", "kind", "promises"}
    assert (document["name"], document["kind"]) == ("./wrong.py:Careless", "scorer")
    by_test = {promise["test"]: promise for promise in document["promises"]}
    assert len(by_test) == len(document["promises"])
    broken = by_test["test_one_score_per_item"]
    assert broken["promise"] == "As many scores as items, in a list, also where an item comes twice."
    assert (broken["outcome"], broken["why"]) == ("broken", "5 scores for 6 items (wrong.py line 4)")
    kept = by_test["test_empty_batch"]
    assert (kept["promise"], kept["outcome"], kept["why"]) == ("No items, no scores.", "kept", "")


def test_settings_are_given_to_the_plugin(wrong):
    assert wrong.run("plugins", "check", "./wrong.py:Settled").exit_code == 0
    assert wrong.run("plugins", "check", "./wrong.py:Settled", "--option", "step=1").exit_code == 3
    said = wrong.refuses(2, "plugins", "check", "./wrong.py:Settled", "--option", "pace=1")
    assert "'pace'" in said and "options: step" in said


def test_a_promise_that_is_left_out_states_its_reason(place):
    result = place.run("plugins", "check", "demo", "--data", "demo")
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert "left out Neither `open` nor `load` adds, changes or removes a file" in text
    assert "the dataset lies in no file or folder" in text
    assert result.stdout.splitlines()[-1].endswith("promises of a dataset; 2 are left out")


@pytest.mark.parametrize("data", ["data", "imagefolder:data"])
def test_a_dataset_is_checked_on_data(place, data):
    assert place.document("plugins", "check", "imagefolder", "--data", data)["kind"] == "dataset"


def test_an_adapter_is_checked_on_a_model(place):
    document = place.document("plugins", "check", "transformers", "--model", "model")
    assert document["kind"] == "adapter"
    assert {promise["outcome"] for promise in document["promises"]} == {"kept"}


@pytest.mark.parametrize("model", ["model", "./mine.py:Mine:model"])
def test_an_adapter_may_be_a_file_and_the_model_told_by_its_name(place, model):
    (place / "mine.py").write_text(
        "from headprune_transformers.backend import TransformersBackend\nclass Mine(TransformersBackend): pass"
    )
    checkup = job.prepare_check("./mine.py:Mine", model=model)
    backend, name = checkup.give()
    assert (checkup.kind, type(backend).__name__, name) == ("adapter", "Mine", "model")


def test_a_listener_is_checked_without_a_trace(place):
    before = place.tree()
    assert place.document("plugins", "check", "jsonl")["kind"] == "listener"
    assert place.tree() == before


def test_what_a_plugin_is_checked_on_has_to_be_there(place):
    said = place.refuses(1, "plugins", "check", "transformers", "--model", "no/such/model")
    assert "no/such/model is not there" in said
    assert "'nowhere'" in place.refuses(1, "plugins", "check", "imagefolder", "--data", "nowhere")


def test_what_a_kind_needs_is_asked_for(wrong):
    assert "--data DATA" in wrong.refuses(2, "plugins", "check", "imagefolder")
    assert "--model MODEL" in wrong.refuses(2, "plugins", "check", "transformers")
    assert "--model is for an adapter; bleu is a scorer" in wrong.refuses(2, "plugins", "check", "bleu", "--model", "x")
    assert "--data is for a dataset" in wrong.refuses(2, "plugins", "check", "bleu", "--data", "x")
    said = wrong.refuses(2, "plugins", "check", "transformers", "--model", "model", "--option", "a=1")
    assert "has no settings" in said


def test_who_is_meant_is_found_out_or_asked(wrong):
    assert "did you mean 'bleu'?" in wrong.refuses(3, "plugins", "check", "blue")
    assert "it offers bleu, exact, rouge" in wrong.refuses(3, "plugins", "check", "ngram")
    assert "is no plugin's class" in wrong.refuses(3, "plugins", "check", "./wrong.py:Plain")
    assert "has no Nobody" in wrong.refuses(3, "plugins", "check", "./wrong.py:Nobody")
    assert "there is no kind 'metric'" in wrong.refuses(2, "plugins", "check", "bleu", "--kind", "metric")
    assert "no edit called 'bleu'" in wrong.refuses(3, "plugins", "check", "bleu", "--kind", "edit")
    assert "is no subclass of headprune.Edit" in wrong.refuses(
        3, "plugins", "check", "./wrong.py:Careless", "--kind", "edit"
    )


def test_a_name_of_two_kinds_needs_the_kind(wrong, monkeypatch):
    monkeypatch.setenv("HEADPRUNE_PLUGINS", str(wrong / "mine"))
    (wrong / "mine").mkdir()
    (wrong / "mine" / "one.py").write_text(f"{WRONG}\nclass Isolate(Settled):\n    'Also an edit.'\n")
    catalogue.cache_clear()
    try:
        said = wrong.refuses(2, "plugins", "check", "isolate")
        assert "'isolate' is the name of a scorer and an edit" in said and "--kind scorer or --kind edit" in said
        assert wrong.document("plugins", "check", "isolate", "--kind", "scorer")["kind"] == "scorer"
    finally:
        monkeypatch.undo()
        catalogue.cache_clear()


def test_a_paid_scorer_is_asked_only_with_leave(wrong):
    said = wrong.refuses(2, "plugins", "check", "./wrong.py:Dear")
    assert "calls of the oracle" in said and "--yes agrees to it\n" in said
    result = wrong.run("plugins", "check", "./wrong.py:Dear", "--yes")
    assert result.exit_code == 0 and "calls of the oracle" in result.stderr


class Counting(Scorer):
    asked = 0

    def score(self, batch):
        type(self).asked += len(batch)
        return [0.5] * len(batch)


class CountingRater(LayerRater):
    criteria = ("one",)
    asked = 0

    def rate(self, batch):
        type(self).asked += len(batch)
        assert all(len(item.captions) <= job._LAYERS for item in batch)
        return [[[3.0]] * len(item.captions) for item in batch]


@pytest.mark.parametrize("made", [Counting, CountingRater])
def test_no_more_is_asked_than_is_agreed_to(made):
    made.asked = 0
    checked = job.perform_check(job.Checkup("counting", "scorer", made))
    assert checked.summary == f"counting keeps all {len(checked.verdicts)} promises of a scorer"
    assert job._CAPTIONS / 3 < made.asked <= job._CAPTIONS


def test_pytest_is_asked_for_where_it_is_not_there():
    code = "import sys; sys.modules['pytest'] = None; from headprune.cli.app import main; main()"
    command = [sys.executable, "-c", code, "plugins", "check", "bleu", "--quiet"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "error: checking a plugin needs pytest\n  next: pip install 'headprune[plugins]'\n"
