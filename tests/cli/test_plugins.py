"""headprune plugins list: what is there, and what is broken."""

from __future__ import annotations

import sys

import pytest

from headprune.hooks.catalogue import catalogue


@pytest.fixture
def broken(place, monkeypatch):
    """An installed plugin that does not import, and one whose scorer lacks a package."""
    for name, source in {
        "headprune_mended": "import no_such_module",
        "headprune_needy": "import headprune\n@headprune.hookimpl\ndef headprune_scorers():\n"
        "    return [headprune.ScorerSpec('needy', 'x:Y', 'judges', ('no-such-package>=2',))]",
    }.items():
        (place / f"{name}.py").write_text(source)
        record = place / f"{name}-0.1.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
        (record / "entry_points.txt").write_text(f"[headprune]\n{name} = {name}\n")
    monkeypatch.syspath_prepend(place.folder)
    catalogue.cache_clear()
    yield place
    catalogue.cache_clear()
    for name in ("headprune_mended", "headprune_needy"):
        sys.modules.pop(name, None)


def test_the_document(place):
    document = place.document("plugins", "list")
    assert document.keys() == {"offers", "broken"} and document["broken"] == []
    kinds = [entry["kind"] for entry in document["offers"]]
    assert kinds == sorted(kinds, key=["scorer", "edit", "adapter", "dataset", "listener"].index)
    (cider,) = (entry for entry in document["offers"] if entry["name"] == "cider")
    assert (cider["kind"], cider["plugin"], cider["needs"]) == ("scorer", "cider", [])
    assert cider["package"].startswith("headprune ") and cider["summary"]
    assert {"isolate", "transformers", "imagefolder"} <= {entry["name"] for entry in document["offers"]}


def test_a_broken_plugin_is_listed_with_its_reason_and_the_rest_works(broken):
    document = broken.document("plugins", "list")
    reason = "ModuleNotFoundError: No module named 'no_such_module' at headprune_mended.py line 1"
    assert document["broken"] == [{"plugin": "headprune_mended", "package": "headprune_mended", "reason": reason}]
    (needy,) = (entry for entry in document["offers"] if entry["name"] == "needy")
    assert needy["needs"] == ["no-such-package>=2"]
    table = broken.run("plugins", "list")
    text = " ".join(table.stdout.split())
    assert (table.exit_code, table.stderr) == (0, "")
    assert "broken: ModuleNotFoundError" in text and "needs no-such-package>=2 - judges" in text


def test_an_entry_point_that_names_no_module_is_listed(broken):
    record = broken / "headprune_mended-0.1.dist-info"
    (record / "entry_points.txt").write_text("[headprune]\nodd = no module!\n")
    (record / "METADATA").write_text("")
    catalogue.cache_clear()
    (bad,) = broken.document("plugins", "list")["broken"]
    assert bad["reason"] == "ValueError: its entry point names no module: 'no module!'"


def test_one_kind_alone(place):
    assert {offer["kind"] for offer in place.document("plugins", "list", "edit")["offers"]} == {"edit"}
    assert "kinds: scorer, edit" in place.refuses(2, "plugins", "list", "edits")


def test_what_came_from_elsewhere_says_from_where_and_a_name_that_is_taken_twice_is_marked(place, monkeypatch):
    (place / "mine").mkdir()
    (place / "mine" / "own.py").write_text("import headprune\nclass Cider(headprune.Scorer):\n    'Mine.'\n")
    monkeypatch.setenv("HEADPRUNE_PLUGINS", str(place / "mine"))
    catalogue.cache_clear()
    text = " ".join(place.run("plugins", "list", "scorer").stdout.split())
    catalogue.cache_clear()
    assert "scorer cider own.py offered 2 times, so usable by none: remove all but one - Mine." in text
    assert "scorer bleu ngram sentence" in text


@pytest.mark.parametrize("flags", [(), ("--no-plugins",)])
def test_the_list_stands_whatever_a_plugin_does(broken, monkeypatch, flags):
    monkeypatch.setenv("HEADPRUNE_NO_PLUGINS", "")
    (broken / "headprune_mended.py").write_text("print('loud')\nraise SystemExit(5)")
    (broken / "headprune_needy.py").write_text("print('louder')\n1 / 0")
    document = broken.document(*flags, "plugins", "list")
    assert {bad["plugin"] for bad in document["broken"]} == (
        set() if flags else {"headprune_mended", "headprune_needy"}
    )
    assert {"cider", "isolate"} <= {offer["name"] for offer in document["offers"]}


def test_naming_a_broken_plugin_is_refused(broken, score):
    words = (*score, "--samples", 2, "--out", "run", "--scorer")
    assert "plugin 'headprune_mended' is broken: Module" in broken.refuses(3, *words, "headprune_mended")
    assert "pip install 'no-such-package>=2'" in broken.refuses(3, *words, "needy")
    assert broken.run(*words, "./overlap.py:Overlap").exit_code == 0
