"""The docs' own extension: how docstrings and formulas are read."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import pytest
from headprune_docs import names, rst
from headprune_docs.docstrings import as_rst, attributes, introduction, of_data, sentence
from headprune_docs.reference import write


class Told:
    """What it is, in two
    lines.

    More.

    Attributes:
        rows, columns: of
            patches.
        box: where: there.
    """


class Retold(Told):
    """Told again.

    Attributes:
        box: elsewhere.
    """


def test_fields_are_read_from_docstrings_of_a_class_and_its_bases():
    assert introduction(Told) == "What it is, in two\nlines.\n\nMore."
    assert attributes(Told) == {"rows": "of patches.", "columns": "of patches.", "box": "where: there."}
    assert attributes(Retold) == {**attributes(Told), "box": "elsewhere."}


DATA = 1
"""What a module's
name holds."""
BARE = 2


def test_strings_below_names_are_read():
    module = sys.modules[__name__]
    assert of_data(module, "DATA") == "What a module's name holds." and of_data(module, "BARE") == ""


def test_docstrings_as_rst():
    read = as_rst(
        "Rows of `Sample`s, |u|, `a | b`.\n\nAttributes:\n    rows, columns: of\n        patches.\n    box: b."
    )
    assert read == (
        "Rows of `Sample`\\ s, \\|u\\|, `a | b`.\n\nAttributes:\n"
        "    rows: of\n        patches.\n    columns: of\n        patches.\n    box: b."
    )


def test_what_is_set_in_below_a_colon_is_code():
    assert as_rst("So:\n\n    a = `b`\n\nArgs:\n    a: that:\n\n    b: this.") == (
        "So::\n\n    a = `b`\n\nArgs:\n    a: that:\n\n    b: this."
    )


def test_prose_shows_what_is_written():
    assert rst.prose("H*alpha_ `a*b` by --out") == "H\\*alpha\\_ ``a*b``\\  by ``--out``\\ "
    assert (sentence("of layers"), sentence("Done."), sentence("")) == ("Of layers.", "Done.", "")


def test_what_public_names_speak_of_is_found_to_the_end():
    class Deep:
        """Named by nobody public."""

    def shallow(deep: names.Name) -> None: ...

    shallow.__annotations__ = {"deep": "names.Name"}
    found = names.spoken_of([names.Name("shallow", __name__, shallow)])
    assert found == []  # a name of another module than headprune's is not followed
    spoken = names.spoken_of(names.public_names())
    assert {"Flow", "Parts", "Sources"} <= {cls.__name__ for cls in spoken}, "DataFlow is public, and holds these"
    assert not {cls.__name__ for cls in spoken} & {name.name for name in names.public_names()}


def test_pages_that_are_no_longer_made_are_taken_away(tmp_path):
    write({"a/old.rst": "old", "kept.rst": "kept"}, tmp_path)
    before = (tmp_path / "kept.rst").stat().st_mtime_ns
    write({"a/new.rst": "new", "kept.rst": "kept"}, tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.rst")) == ["kept.rst", "new.rst"]
    assert (tmp_path / "kept.rst").stat().st_mtime_ns == before, "Sphinx would read it anew"


@pytest.fixture
def mathml():
    pytest.importorskip("latex2mathml", reason="formulas need pip install 'headprune[docs]'")
    from headprune_docs.mathml import mathml

    return mathml


def test_formulas_keep_their_source(mathml):
    latex = r"\sum_{h=1}^{H} s_h < \operatorname{MLP}(Z_l)"
    (semantics,) = ElementTree.fromstring(mathml(latex, "block"))
    shown, source = semantics
    assert source.text == latex and source.tag.endswith("annotation")
    assert "".join(shown.itertext()) == "∑h=1Hsh<MLP(Zl)"
    assert [part.text for part in shown.findall(".//{*}mi")][-3:] == ["MLP", "Z", "l"]


@pytest.mark.parametrize("latex", [r"\nosuch{x}", r"\begin{aligned} a &= b \end{aligned}"])
def test_a_formula_that_cannot_be_shown_is_an_error(mathml, latex: str):
    with pytest.raises(ValueError, match="formula"):
        mathml(latex)
