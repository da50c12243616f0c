"""The page: what is on it, that it asks nothing of the network, and that captions stay text."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headprune.errors import HeadpruneError, Notice, UsageError
from headprune.jobs.report import perform_report
from headprune.report.encode import is_light, map_uri, shade
from headprune.runs.store import RunStore
from tests.support.runs import HOSTILE, Runs, evaluation


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Parsed(HTMLParser):
    """A page's elements, in order, with the text that stands directly in each."""

    elements: list[Element] = field(default_factory=list)
    open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag, attrs):
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "img", "input", "link", "br"):
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self.open and self.open[-1].tag == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open:
            self.open[-1].text += data

    def of(self, tag: str, name: str = "") -> list[Element]:
        found = [one for one in self.elements if one.tag == tag]
        return [one for one in found if not name or name in one.attributes.get("class", "").split()]


def parsed(html: str) -> Parsed:
    page = Parsed()
    page.feed(html)
    page.close()
    assert not page.open, "an element is left open"
    return page


def page_of(folders, tmp_path: Path, **options) -> str:
    perform_report(folders, tmp_path / "report.html", **options)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_page_shows_what_each_layer_and_head_of_each_picture_says(tmp_path):
    runs = Runs(tmp_path)
    page = parsed(page_of(runs.three(), tmp_path))
    captions = [one.text for one in page.of("p", "caption")]
    layers = [f"caption before {n}.{layer}" for n in range(2) for layer in range(3)]
    heads = [f"caption before {n}.{layer}.{head}" for n in range(2) for layer in range(3) for head in range(2)]
    assert sorted(captions) == sorted(layers + heads)
    assert [one.text for one in page.of("li") if one.text.startswith("caption of people")] == [
        "caption of people 0",
        "caption of people 1",
    ]
    assert len(page.of("img", "map")) == len(captions), "a map for each"
    sliders = [one for one in page.of("input") if one.attributes["type"] == "range"]
    assert [one.attributes["max"] for one in sliders] == ["2", "2"]
    assert {one.attributes["data-layers"] for one in page.of("div", "stage")} == {"0 1 2"}


def test_before_and_after_stand_side_by_side_and_silent_heads_are_marked(tmp_path):
    page = parsed(page_of(Runs(tmp_path).three(after=True), tmp_path))
    names = {one.text for one in page.of("p", "side")}
    assert names == {"the model as it is", "with the patch 01234567, 1 head silent"}
    said = [one.text for one in page.of("p", "caption")]
    assert "caption before 0.1" in said and "caption after 0.1" in said
    silent = page.of("li", "silent")
    assert len(silent) == 2, "head 1.0 of two pictures, with the patch"
    assert [one.text for one in page.of("strong")] == ["pruned", "pruned"]


def test_runs_of_the_same_pictures_are_matched_by_their_ids(tmp_path):
    runs = Runs(tmp_path)
    first = runs.save("layers", "layers", runs.layers_found())
    runs.ids.reverse()
    second = runs.save("heatmap", "heatmap", runs.heatmap_found())
    page = parsed(page_of([first, second], tmp_path))
    assert [one.text for one in page.of("h3")][:2] == ["p0.png", "p1.png"]
    assert len(page.of("div", "stage")) == 2
    assert len(page.of("img", "map")) == 6


def test_runs_of_other_models_are_kept_apart(tmp_path):
    runs = Runs(tmp_path)
    first = runs.save("a", "layers", runs.layers_found())
    runs.model = runs.model.model_copy(update={"name": "other"})
    second = runs.save("b", "layers", runs.layers_found())
    page = parsed(page_of([first, second], tmp_path))
    assert [one.text for one in page.of("h2") if one.text.startswith("Pictures")] == [
        "Pictures: m on data",
        "Pictures: other on data",
    ]
    assert len(page.of("article", "picture")) == 4


def test_two_runs_that_tell_the_same_are_not_mixed(tmp_path):
    runs = Runs(tmp_path)
    folders = [runs.save(name, "layers", runs.layers_found(name)) for name in ("one", "two")]
    with pytest.warns(Notice, match="the strips show .*one, the figures and tables all"):
        page = parsed(page_of(folders, tmp_path))
    assert not [one.text for one in page.of("p", "caption") if "two" in one.text]
    assert len(page.of("article", "finding")) == 2


@pytest.mark.parametrize("caption", HOSTILE)
def test_captions_ids_and_names_stay_text(tmp_path, caption):
    safe = Runs(tmp_path / "safe")
    plain = parsed(page_of([*safe.three(), safe.score()[0]], tmp_path / "safe", prune="count=1"))
    runs = Runs(tmp_path / "hostile", caption=caption)
    runs.model = runs.model.model_copy(update={"name": caption})
    runs.data = caption
    runs.ids = [f"{number} {caption}" for number in range(2)]
    folders = [*runs.three(), runs.score()[0]]
    (folders[0] / "recipe.toml").write_text(f"# {caption}\n")
    page = parsed(page_of(folders, tmp_path / "hostile", prune="count=1"))

    def outline(of: Parsed) -> set[tuple[str, tuple[str, ...]]]:
        return {(one.tag, tuple(sorted(one.attributes))) for one in of.elements}

    assert outline(page) == outline(plain), "no element, no attribute more"
    assert len(page.of("script")) == 1 and "alert" not in page.of("script")[0].text
    assert caption.replace("{}", "before 0.0") in [one.text for one in page.of("p", "caption")]
    assert [one.text for one in page.of("h3")][:2] == runs.ids
    assert page.of("dd")[0].text == caption
    assert f"# {caption}\n" in [one.text for one in page.of("code")]


def test_characters_that_are_not_seen_or_turn_the_text_are_shown_as_such(tmp_path):
    caption = "a\u202ecod\u2066 \x00\x1b[31m\x7f\u200b {}"
    html = page_of(Runs(tmp_path, caption=caption).three(), tmp_path)
    assert not [character for character in html if not character.isprintable() and character != "\n"]
    assert "a\ufffdcod\ufffd \ufffd\ufffd[31m\ufffd\ufffd before 0.0" in html


def test_nothing_on_the_page_is_fetched(tmp_path):
    runs = Runs(tmp_path, caption="see https://example.org/a.png or url(http://x) {}")
    score, patch = runs.score()
    (score / "patch.evaluation-none-count=1.json").write_text(json.dumps(evaluation(patch)))
    page = parsed(page_of([*runs.three(after=True), score], tmp_path))
    for one in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            value = one.attributes.get(name, "#")
            assert value.startswith(("#", "data:image/")), f"{one.tag} {name}={value[:80]}"
        assert not [name for name in one.attributes if name.startswith("on")]
        assert one.tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert "url(" not in one.attributes.get("style", "")
    for style in page.of("style"):
        assert all(address.startswith("data:image/jpeg;base64,") for address in re.findall(r"url\((.*?)\)", style.text))
        assert "@import" not in style.text
    policy = next(one for one in page.of("meta") if one.attributes.get("http-equiv") == "Content-Security-Policy")
    allowed = dict(part.strip().split(" ", 1) for part in policy.attributes["content"].split(";"))
    assert allowed["default-src"] == "'none'" and allowed["img-src"] == "data:"
    assert "unsafe-inline" not in allowed["script-src"]


@pytest.mark.parametrize("words", HOSTILE)
def test_all_that_a_run_says_of_itself_stays_text(tmp_path, words):
    """Ids, names of models, data, scorers, versions, prompts, folders and recipes, as captions do."""
    words = words.replace(" {}", "")
    runs = Runs(tmp_path / (words.replace("/", "") or "run"))
    runs.data, runs.ids = words, [f"{words}{number}" for number in range(runs.n)]
    runs.model = runs.model.model_copy(
        update={"name": words, "backend": words, "revision": words, "fingerprint": words}
    )
    folders = runs.three(after=True)
    for folder in folders:
        (folder / "recipe.toml").write_text(words)
        found = json.loads((folder / "result.json").read_text())
        found["info"] |= {"scorer": words, "versions": {words: words}, "generation": {"prompt": words, words: words}}
        found["info"]["patch"] |= {"digest": words, "scale": words, "prune": words}
        (folder / "result.json").write_text(json.dumps(found))
    plain = parsed(page_of(Runs(tmp_path / "plain").three(after=True), tmp_path))
    page = parsed(page_of(folders, tmp_path))
    assert {one.tag for one in page.elements} == {one.tag for one in plain.elements}
    assert len(page.of("script")) == len(plain.of("script")) == 1
    assert {name for one in page.elements for name in one.attributes} == {
        name for one in plain.elements for name in one.attributes
    }
    assert sum(words in one.text for one in page.elements) > 5
    assert not [one for one in page.of("img") if not one.attributes["src"].startswith("data:image/")]


def test_figures_fetch_and_run_nothing_either(tmp_path):
    page = parsed(page_of(Runs(tmp_path, caption="<script>alert(1)</script> {}").three(), tmp_path))
    drawn = [one for one in page.of("img") if one.attributes["src"].startswith("data:image/svg+xml")]
    assert len(drawn) == 2
    for one in drawn:
        svg = base64.b64decode(one.attributes["src"].partition(",")[2]).decode()
        assert "<script" not in svg and "alert" not in svg
        assert not re.search(r'href="(?!#)', svg.split("</metadata>")[-1])
        assert "overlap" in one.attributes["alt"] or "attention" in one.attributes["alt"]
        assert re.search(r"\d\.\d+ at layer 0", one.attributes["alt"]), "told in numbers"


def test_the_same_runs_give_the_same_page(tmp_path):
    runs = Runs(tmp_path)
    folders = [*runs.three(after=True), runs.score()[0]]
    assert page_of(folders, tmp_path, prune="count=1") == page_of(folders, tmp_path, prune="count=1")


def test_twenty_pictures_of_a_tower_of_12_by_12_fit_in_15_megabytes(tmp_path):
    runs = Runs(tmp_path, n=20, layers=12, heads=12, grid=16, caption="a caption of some ten words or so from {}")
    done = perform_report(runs.three(), tmp_path / "report.html")
    assert (done.shown, done.pictures) == (20, 20)
    size = (tmp_path / "report.html").stat().st_size
    assert 1e6 < size < 15e6


def test_more_than_twenty_pictures_are_not_shown_and_that_is_said(tmp_path):
    runs = Runs(tmp_path, n=23)
    with pytest.warns(Notice, match="20 of 23"):
        page = parsed(page_of([runs.save("layers", "layers", runs.layers_found())], tmp_path))
    assert len(page.of("article", "picture")) == 20
    assert "23 looked at, 20 shown" in [one.text for one in page.of("dd")]


def test_heads_are_told_by_their_numbers_and_pruned_ones_marked(tmp_path):
    runs = Runs(tmp_path)
    score, patch = runs.score()
    (score / "patch.evaluation-none-count=1.json").write_text(json.dumps(evaluation(patch)))
    page = parsed(page_of([score], tmp_path))
    cells = [one for one in page.of("td") if "style" in one.attributes]
    assert len(cells) == 6
    lowest = [int(np.argmin(row)) for row in patch.alpha]
    pruned = ["pruned" in one.attributes["class"].split() for one in cells]
    assert pruned == [head == low for low in lowest for head in range(2)]
    assert len(page.of("span", "mark")) == 3
    assert [float(one.text) for one in page.of("span", "mean")] == pytest.approx(
        patch.importance.reshape(-1), abs=0.006
    )
    told = [one.text for one in page.of("span", "told")]
    assert "layer 2, head 1: importance " in told


def test_a_sliced_model_lacks_heads_and_maps_and_the_page_says_which(tmp_path):
    runs = Runs(tmp_path, n=1)
    runs.model = runs.model.model_copy(update={"ragged": (2, 1, 0)})
    found = runs.heads_found()
    captions = tuple(tuple(row[:heads] for row, heads in zip(rows, (2, 1, 0), strict=True)) for rows in found.captions)
    heatmap = runs.heatmap_found()
    heatmap.pictures[0].maps[2] = np.nan
    heatmap.attention[0, 2] = np.nan
    folders = [
        runs.save("heads", "heads", replace(found, captions=captions)),
        runs.save("heatmap", "heatmap", heatmap),
        runs.score()[0],
    ]
    page = parsed(page_of(folders, tmp_path, prune="count=1"))
    assert [one.text.strip() for one in page.of("p", "name") if "head" in one.text] == [
        "head 0.0",
        "head 0.1",
        "head 1.0",
    ]
    assert "The layer has no heads left." in [one.text for one in page.of("p")]
    assert len(page.of("img", "map")) == 2 + 3
    assert [one.attributes["aria-label"] for one in page.of("span", "look")].count("no map of layer 2") == 1
    assert len(page.of("td", "absent")) == 1
    assert "nan" not in {one.text for one in page.elements}


def test_table_1_is_what_was_measured(tmp_path):
    score, patch = Runs(tmp_path).score()
    (score / "patch.evaluation-none-count=1.json").write_text(json.dumps(evaluation(patch)))
    html = page_of([score], tmp_path)
    assert "-0.250 [-0.500, -0.125], the patch hurts" in html
    assert "It beats 1 of 2 random head sets of the same size: no better than chance" in html
    cells = [one.text for one in parsed(html).of("td")]
    assert "1,234,567" in cells and "12.5" in cells


def test_an_evaluation_of_another_patch_or_that_is_damaged_is_left_out_and_said(tmp_path):
    score, patch = Runs(tmp_path).score()
    other = {**evaluation(patch), "patch": "0"}
    (score / "patch.evaluation-none-count=1.json").write_text(json.dumps(other))
    (score / "patch.evaluation-none-none.json").write_text('{"patch": 1')
    with pytest.warns(Notice) as said:
        html = page_of([score], tmp_path)
    texts = [str(one.message) for one in said]
    assert sum("of another patch" in text for text in texts) == 1
    assert sum("cannot be read and is left out" in text for text in texts) == 1
    assert "Table 1" not in html


def test_the_page_says_how_to_make_each_run_again(tmp_path):
    runs = Runs(tmp_path / "it's; here")
    page = parsed(page_of([runs.save("layers", "layers", runs.layers_found())], tmp_path))
    folder = tmp_path / "it's; here" / "layers"
    quoted = "'" + str(folder).replace("'", "'\"'\"'")
    assert [one.text for one in page.of("code")] == [
        f"headprune layers --recipe {quoted}/recipe.toml' --out {quoted}-again'",
        'model = "m"\ndata = "layers"\n',
    ]


def test_what_is_no_run_or_damaged_is_refused_and_nothing_is_written(tmp_path):
    runs = Runs(tmp_path)
    layers = runs.save("layers", "layers", runs.layers_found())
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    RunStore.open(tmp_path / "begun").close()
    out = tmp_path / "report.html"
    for folder, said in (("empty", "holds no run"), ("gone", "no run folder"), ("begun", "not finished")):
        with pytest.raises(HeadpruneError, match=said):
            perform_report([layers, tmp_path / folder], out)
    with pytest.raises(UsageError, match="twice"):
        perform_report([layers, layers / ".." / "layers"], out)
    with pytest.raises(UsageError, match="score run"):
        perform_report([layers], out, prune="count=1")
    (layers / "pictures" / "0001.jpg").write_bytes(b"no picture")
    with pytest.raises(HeadpruneError, match=r"0001\.jpg"):
        perform_report([layers], out)
    assert not out.exists()


def test_a_map_is_a_small_picture_of_its_numbers():
    values = np.linspace(0, 2, 12).reshape(3, 4)
    picture = Image.open(io.BytesIO(base64.b64decode(map_uri(values, 2.0).partition(",")[2])))
    assert (picture.format, picture.size) == ("PNG", (4, 3))
    pixels = np.asarray(picture.convert("RGB"))
    colours = ["#" + bytes(pixel).hex() for pixel in pixels.reshape(-1, 3)]
    assert colours == [shade(value / 2) for value in values.reshape(-1)]
    assert len(set(colours)) == 12
    assert (is_light(0.0), is_light(1.0)) == (False, True)


def test_a_map_of_nothing_is_dark():
    picture = Image.open(io.BytesIO(base64.b64decode(map_uri(np.zeros((2, 2)), 0.0).partition(",")[2])))
    assert picture.convert("RGB").getcolors() == [(4, tuple(bytes.fromhex(shade(0)[1:])))]
