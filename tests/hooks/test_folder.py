"""The user's own plugin folder: classes by name, read and not run until they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from headprune.errors import PluginError
from headprune.hooks.catalogue import NO_PLUGINS, catalogue, make_scorer
from headprune.hooks.folder import FOLDER, folder_plugins

TWO = '''
"""Runs only when it is asked for."""
from pathlib import Path

import headprune
from headprune import Edit

Path("ran").touch()

class _Shared(headprune.Scorer):
    def score(self, batch):
        return [float(len(item.caption)) for item in batch]

class TwoWords(_Shared):
    """Counts letters.

    And more.
    """

class CLIPLike(headprune.Scorer):
    pass

class Softer(Edit):
    """Softens."""

class Helper:
    pass
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = tmp_path / "mine"
    found.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(FOLDER, str(found))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    catalogue.cache_clear()
    yield found
    catalogue.cache_clear()


def names(kind: str) -> set[str]:
    return {spec.name for plugin in folder_plugins() for spec in plugin.specs if type(spec).__name__ == kind}


def test_each_public_class_is_offered_under_its_name(folder: Path):
    (folder / "two.py").write_text(TWO)
    (folder / "_helpers.py").write_text("1 / 0")
    (plugin,) = folder_plugins()
    assert not plugin.broken and plugin.package == str(folder / "two.py")
    assert [(spec.name, spec.summary) for spec in plugin.specs] == [
        ("two-words", "Counts letters."),
        ("clip-like", "from two.py"),
        ("softer", "Softens."),
    ]
    assert names("EditSpec") == {"softer"}


def test_nothing_runs_before_it_is_asked_for(folder: Path):
    (folder / "two.py").write_text(TWO)
    assert "two-words" in catalogue().names("scorer") and not Path("ran").exists()
    assert make_scorer("two-words", {}).score([]) == []
    assert Path("ran").exists()
    assert catalogue().origin("scorer", "two-words").keys() == {"sha256"}


@pytest.mark.parametrize(
    ("source", "reason"),
    [("def (", "bad.py line 1: SyntaxError"), ("x = 1", "no class that is a"), ("\0", "ValueError|SyntaxError")],
)
def test_a_file_that_offers_nothing_says_why_and_the_others_do(folder: Path, source: str, reason: str):
    (folder / "bad.py").write_text(source)
    (folder / "two.py").write_text(TWO)
    bad, two = folder_plugins()
    assert any(part in bad.broken for part in reason.split("|")), bad.broken
    assert two.specs and not two.broken
    with pytest.raises(PluginError) as caught:
        make_scorer("nothing-like-it", {})
    assert "broken, see headprune plugins list: bad" in caught.value.hint


def test_a_folder_that_is_not_there_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(FOLDER, str(folder / "none"))
    (plugin,) = folder_plugins()
    assert plugin.broken.startswith(f"there is no folder {folder / 'none'}")


def test_the_users_config_names_one_too_and_the_environment_wins(folder: Path, monkeypatch: pytest.MonkeyPatch):
    config = folder.parent / "config" / "headprune" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('plugins = "here"')
    (config.parent / "here").mkdir()
    (config.parent / "here" / "two.py").write_text(TWO)
    assert folder_plugins() == []
    monkeypatch.delenv(FOLDER)
    assert names("ScorerSpec") == {"two-words", "clip-like"}
    monkeypatch.setenv(FOLDER, "")
    assert folder_plugins() == []


@pytest.mark.parametrize(
    ("text", "reason"), [("plugins = ", "TOML"), ("plugin = 'x'", "unknown key 'plugin'"), ("plugins = 3", "a folder")]
)
def test_a_broken_config_is_listed_and_nothing_fails(folder: Path, monkeypatch: pytest.MonkeyPatch, text, reason):
    config = folder.parent / "config" / "headprune" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(text)
    monkeypatch.delenv(FOLDER)
    (plugin,) = folder_plugins()
    assert plugin.name == "config" and reason in plugin.broken
    assert make_scorer("exact", {})


def test_a_name_that_is_installed_too_is_refused_with_both_homes(folder: Path):
    (folder / "mine.py").write_text("import headprune\nclass Cider(headprune.Scorer): pass\n")
    with pytest.raises(PluginError, match=r"offered by 2 plugins: headprune, .*mine\.py"):
        make_scorer("cider", {})


def test_no_plugins_leaves_out_all_but_our_own(folder: Path, monkeypatch: pytest.MonkeyPatch, install):
    (folder / "two.py").write_text(TWO)
    install("bad", "import no_such_module")
    assert {"bad", "two"} <= {plugin.name for plugin in catalogue().plugins}
    monkeypatch.setenv(NO_PLUGINS, "1")
    catalogue.cache_clear()
    assert {plugin.package for plugin in catalogue().plugins} == {"headprune"}
    assert make_scorer("exact", {})
