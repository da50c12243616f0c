"""Single-file plugins: run because the user named the file, and blamed by line when they fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from headprune.errors import PluginError, UsageError
from headprune.hooks.catalogue import make_scorer
from headprune.hooks.local import is_local, load_local

SCORER = """
import headprune

class Options(headprune.Settings):
    weight: float = 0.5

class Mine(headprune.Scorer):
    Settings = Options

    def score(self, batch):
        return [self.settings.weight for _ in batch]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("named", ["./mine.py:Mine", "mine.py:Mine", "{}/mine.py:Mine"])
def test_a_file_and_its_class(place: Path, named: str):
    (place / "mine.py").write_text(SCORER)
    assert make_scorer(named.format(place), {"weight": "0.25"}).score([1, 2]) == [0.25, 0.25]


def test_two_files_of_one_name_are_two_plugins(place: Path):
    for name, value in {"a": 1, "b": 2}.items():
        (place / name).mkdir()
        (place / name / "mine.py").write_text(f"VALUE = {value}")
    assert (load_local("./a/mine.py:VALUE"), load_local("./b/mine.py:VALUE")) == (1, 2)


def test_a_changed_file_is_loaded_anew(place: Path):
    for value in (1, 2):
        (place / "mine.py").write_text(f"VALUE = {value}")
        assert load_local("mine.py:VALUE") == value
    assert not (place / "__pycache__").exists()


def test_names_of_installed_plugins_are_not_files():
    assert not is_local("cider") and not is_local("my.pyramid") and not is_local("a:b")
    assert is_local("mine.py") and is_local("./my dir/mine.py:Mine")


def test_a_missing_class_is_named(place: Path):
    (place / "mine.py").write_text(SCORER)
    with pytest.raises(PluginError, match=r"mine\.py has no Yours"):
        make_scorer("./mine.py:Yours", {})


def test_a_missing_file_is_named(place: Path):
    with pytest.raises(PluginError, match=r"mine\.py is not there"):
        make_scorer("./mine.py:Mine", {})


def test_a_file_without_a_class_gets_the_form(place: Path):
    (place / "mine.py").write_text(SCORER)
    with pytest.raises(PluginError, match="names a file but no class") as caught:
        make_scorer("./mine.py", {})
    assert caught.value.hint == "write ./mine.py:ClassName"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import headprune\n\n\nx = 1 / 0\n", r"mine\.py line 4: ZeroDivisionError: division by zero"),
        ("import headprune\nimport json\njson.loads('{')\n", r"mine\.py line 3: JSONDecodeError"),
        ("import headprune\nclass (:\n", r"mine\.py line 2: SyntaxError"),
        ("import headprune\nimport no_such_module\n", r"mine\.py line 2: ModuleNotFoundError"),
        ("raise SystemExit(0)\n", r"mine\.py line 1: SystemExit: 0"),
    ],
)
def test_an_error_is_named_with_its_line(place: Path, source: str, told: str):
    (place / "mine.py").write_text(source)
    for _ in range(2):  # a failed import is not remembered as a good one
        with pytest.raises(PluginError, match=told):
            make_scorer("./mine.py:Mine", {})


def test_a_class_that_is_no_scorer(place: Path):
    (place / "mine.py").write_text("class Mine: pass")
    with pytest.raises(PluginError, match=r"no subclass of headprune\.Scorer"):
        make_scorer("./mine.py:Mine", {})


@pytest.mark.parametrize(("options", "told"), [({"wight": "1"}, "'wight'"), ({"weight": "heavy"}, "'weight'")])
def test_options_are_checked_and_the_known_ones_named(place: Path, options: dict[str, str], told: str):
    (place / "mine.py").write_text(SCORER)
    with pytest.raises(UsageError, match=told) as caught:
        make_scorer("./mine.py:Mine", options)
    assert caught.value.hint == "options: weight"
