"""headprune plugins new: what it writes, and what it refuses to."""

from __future__ import annotations

import pytest

from headprune.hooks.catalogue import KINDS
from headprune.scaffold import write


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_written_and_the_next_steps_are_told(place, kind):
    document = place.document("plugins", "new", kind, "colour-words")
    assert document["folder"] == "headprune-colour-words"
    assert document["next"] == [
        "cd headprune-colour-words && pip install -e '.[test]'",
        "pytest",
        "headprune score --recipe recipe.toml --out run",
    ]
    folder = place / "headprune-colour-words"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert (
        found
        == {*document["files"]}
        >= {
            ".gitignore",
            "README.md",
            "pyproject.toml",
            "recipe.toml",
            f"src/headprune_colour_words/{kind}.py",
            "src/headprune_colour_words/__init__.py",
            "src/headprune_colour_words/plugin.py",
            "tests/test_colour_words.py",
        }
    )
    said = "".join(path.read_text("utf-8", "replace") for path in folder.rglob("*") if path.is_file())
    assert f"class ColourWords{'Backend' if kind == 'adapter' else ''}(" in said
    assert not any(token in said for token in ("placeholder", "Placeholder", "KIND", "CHECKED_ON"))


def test_what_was_written_is_listed_for_a_human(place):
    result = place.run("plugins", "new", "scorer", "brevity", "--out", "my plugins/brevity")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "src/headprune_brevity/scorer.py" in lines
    assert lines[-4:] == [
        "next:",
        "  cd 'my plugins/brevity' && pip install -e '.[test]'",
        "  pytest",
        "  headprune score --recipe recipe.toml --out run",
    ]
    assert result.stderr == "wrote scorer brevity: my plugins/brevity\n"


def test_an_empty_folder_is_filled(place):
    (place / "mine").mkdir()
    assert place.run("plugins", "new", "edit", "dim", "--out", "mine").exit_code == 0
    assert (place / "mine" / "pyproject.toml").is_file()


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("ColourWords", "colourwords"),
        ("colour_words", "colour-words"),
        ("colour--words", "colour-words"),
        ("headprune-colour", "colour"),
        ("colour-", "colour"),
        ("../colour", "colour"),
        ("2gram", "a letter first"),
        ("färbe", "a letter first"),
        ("", "a letter first"),
        ("none", "choose another"),
    ],
)
def test_a_name_that_cannot_be_is_refused(place, name, advice):
    said = place.refuses(2, "plugins", "new", "scorer", "--", name)
    assert f"{name!r} is no name for a plugin" in said and advice in said


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("bleu", "the scorer of headprune is called that"),
        ("isolate", "the edit of headprune is called that"),
        ("ngram", "a plugin of headprune is called that"),
        ("elsewhere", "there is a module headprune_elsewhere"),
    ],
)
def test_a_name_that_is_taken_is_refused_whatever_the_kind(place, monkeypatch, name, why):
    (place / "headprune_elsewhere.py").touch()
    monkeypatch.syspath_prepend(place.folder)
    for kind in ("scorer", "edit"):
        assert f"{name!r} is taken: {why}" in place.refuses(2, "plugins", "new", kind, name)


def test_a_name_by_which_the_code_means_something_else_is_refused(place):
    assert "would make a class Path" in place.refuses(2, "plugins", "new", "dataset", "path")
    assert "would make a class Sequence" in place.refuses(2, "plugins", "new", "scorer", "sequence")


def test_a_folder_that_holds_something_is_left_alone(place):
    (place / "headprune-mine").mkdir()
    (place / "headprune-mine" / "notes.txt").write_text("mine")
    assert "headprune-mine is not empty" in place.refuses(2, "plugins", "new", "scorer", "mine")
    assert "overlap.py is a file" in place.refuses(2, "plugins", "new", "scorer", "mine", "--out", "overlap.py")


def test_an_unknown_kind_is_refused(place):
    said = place.refuses(2, "plugins", "new", "metric", "mine")
    assert "there is no kind 'metric'" in said and "scorer, edit, adapter, dataset, listener" in said


def test_nothing_is_left_where_writing_fails(place, monkeypatch):
    filled = write._filled

    def failing(text, kind, names):
        if b"import pytest" in text:
            raise OSError(28, "No space left on device")
        return filled(text, kind, names)

    monkeypatch.setattr(write, "_filled", failing)
    assert "No space left" in place.refuses(1, "plugins", "new", "scorer", "mine", "--out", "deep/down/mine")


def test_a_name_too_long_for_a_file_is_refused(place):
    assert "choose a shorter name" in place.refuses(1, "plugins", "new", "scorer", "a" * 300)
