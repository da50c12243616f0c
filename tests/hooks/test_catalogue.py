"""What is installed, and what is said of a name that is not."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import headprune_lavis.plugin
import pytest
from pydantic import Field

from headprune import Scorer, Settings
from headprune.errors import ExitCode, PluginError, UsageError
from headprune.hooks.catalogue import KINDS, Catalogue, catalogue
from headprune.hooks.manager import Plugin, collect_specs
from headprune.hooks.specs import AdapterSpec

SHIPPED = {
    "scorer": {"bertscore", "bleu", "cider", "clipscore", "gradient", "logit", "meteor", "refclipscore", "rouge"}
    | {"vqa-exact", "vqa-f1"},
    "edit": {"ablate", "isolate", "isolate-direct", "mean-ablate", "scale"}
    | {"attention-temperature", "noise", "resample"},
    "listener": {"jsonl", "mlflow", "wandb"},
    "adapter": {"transformers"},
    "dataset": {"coco", "demo", "hub", "imagefolder", "whoops"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shipped_is_there_sorted(kind: str):
    names = catalogue().names(kind)
    assert set(names) >= SHIPPED[kind]
    assert names == sorted(names)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in SHIPPED for name in sorted(SHIPPED[kind])])
def test_everything_shipped_loads(kind: str, name: str):
    loaded = catalogue().load(kind, name)
    assert loaded.__doc__


@pytest.mark.parametrize(
    ("kind", "typed", "meant"),
    [
        ("scorer", "cidre", "cider"),
        ("edit", "isolat", "isolate"),
        ("dataset", "woops", "whoops"),
        ("listener", "jsnol", "jsonl"),
        ("adapter", "transformer", "transformers"),
    ],
)
def test_a_name_that_comes_close_is_suggested(kind: str, typed: str, meant: str):
    with pytest.raises(PluginError, match=f"no {kind} called '{typed}'") as caught:
        catalogue().load(kind, typed)
    assert f"did you mean '{meant}'?" in caught.value.hint
    assert all(name in caught.value.hint for name in SHIPPED[kind])
    assert caught.value.exit_code == ExitCode.PLUGIN


def test_a_name_far_from_all_is_not_guessed():
    with pytest.raises(PluginError) as caught:
        catalogue().load("scorer", "zzzz")
    assert "did you mean" not in caught.value.hint
    assert "cider" in caught.value.hint


def test_a_name_of_another_kind_is_unknown_here():
    with pytest.raises(PluginError, match="no edit called 'cider'"):
        catalogue().find("edit", "cider")


def test_nothing_installed_is_said():
    with pytest.raises(PluginError) as caught:
        Catalogue([Plugin("empty", "p", "1")]).find("scorer", "cider")
    assert caught.value.hint == "installed: none"


def test_a_folder_is_known_by_the_marker_of_the_back_end_that_wrote_it(tmp_path: Path):
    marked, plain = AdapterSpec("a", "x:Y", "s", marker="a.json"), AdapterSpec("b", "x:Y", "s")
    known = Catalogue([Plugin("p", "p", "1", specs=(plain, marked))])
    assert known.written_by(tmp_path) is None
    (tmp_path / "a.json").mkdir()
    assert known.written_by(tmp_path) is None
    (tmp_path / "a.json").rmdir()
    (tmp_path / "a.json").touch()
    assert known.written_by(tmp_path) == "a"
    assert known.written_by(tmp_path / "a.json") is None


@pytest.mark.skipif(find_spec("lavis") is not None, reason="LAVIS is installed here")
def test_lavis_says_what_it_needs(tmp_path: Path):
    known = Catalogue([Plugin("lavis", "headprune", "1", specs=collect_specs(headprune_lavis.plugin, "lavis"))])
    (tmp_path / "lavis.json").touch()
    assert known.written_by(tmp_path) == "lavis"
    with pytest.raises(PluginError, match=r"'lavis' needs salesforce-lavis==1.0.2, transformers>=4.25,<4.27") as caught:
        known.load("adapter", "lavis")
    assert "headprune[lavis]" in caught.value.hint and caught.value.exit_code == ExitCode.PLUGIN


class WordSettings(Settings):
    words: list[str] = Field(["red"])
    weights: dict[str, float] = Field({})
    note: str = ""


class Words(Scorer):
    Settings = WordSettings

    def score(self, batch):
        return []


@pytest.mark.parametrize(
    ("options", "made"),
    [
        ({"words": '["red", "blue"]'}, {"words": ["red", "blue"]}),
        ({"words": ["red"], "weights": '{"red": 2}'}, {"words": ["red"], "weights": {"red": 2.0}}),
        ({"note": '["red"]', "words": "[]"}, {"note": '["red"]', "words": []}),
    ],
)
def test_lists_and_tables_are_typed_as_json(options, made):
    assert Words.configured(options).settings == WordSettings(**made)


@pytest.mark.parametrize("typed", ["red,blue", "[red", "red", '{"red": 1}'])
def test_a_list_that_is_none_tells_how_one_is_typed(typed):
    with pytest.raises(UsageError, match="option 'words' of Words") as caught:
        Words.configured({"words": typed})
    assert caught.value.hint == """write it as JSON: 'words=["a", "b"]'"""


def test_an_option_that_there_is_not_is_told_with_those_that_there_are():
    with pytest.raises(UsageError, match="Words has no option 'word'") as caught:
        Words.configured({"word": "[1]"})
    assert caught.value.hint == "options: words, weights, note"
