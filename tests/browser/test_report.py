"""The report in a browser: by keyboard, narrow, dark, on paper, without scripts, and with hostile words."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from pathlib import Path

import pytest

from headprune.jobs.report import perform_report
from tests.support.runs import HOSTILE, Runs, evaluation


def made(folder: Path, after: bool = False, **settings) -> Path:
    runs = Runs(folder, **{"layers": 12, "heads": 12, **settings})
    score, patch = runs.score()
    (score / "patch.evaluation-none-count=1.json").write_text(json.dumps(evaluation(patch)))
    perform_report([*runs.three(after), score], folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("page"), after=True)


def test_it_opens_without_a_complaint_and_fetches_nothing(shown, page):
    shown.open(page)
    assert shown.complaints() == []
    messages = [json.loads(entry["message"])["message"] for entry in shown.browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert asked and {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert sum(url.startswith("file:") for url in asked) == 1, "the page alone"
    assert shown.ask("[...document.images].every(one => one.complete && one.naturalWidth > 0)")


def test_the_slider_goes_through_the_layers_by_keyboard(shown, page):
    from selenium.webdriver.common.keys import Keys

    shown.open(page)
    shown.focus("[data-stage] input")
    assert shown.ask("document.activeElement.value") == "11"

    def state() -> tuple[str, list[str], str]:
        stage = ".picture:first-of-type [data-stage]"
        return (
            shown.texts(f"{stage} .at")[0],
            shown.texts(f"{stage} .words .caption"),
            shown.ask("document.activeElement.getAttribute('aria-valuetext')"),
        )

    assert state() == (
        "11",
        ["caption before 0.11", "caption after 0.11"],
        "layer 11: caption before 0.11: caption after 0.11",
    )
    shown.press(Keys.ARROW_LEFT)
    assert state()[:2] == ("10", ["caption before 0.10", "caption after 0.10"])
    shown.press(Keys.HOME)
    assert state()[0] == "0" and state()[2].startswith("layer 0: caption before 0.0")
    maps = "[...document.querySelectorAll('{} img.map')].map(one => one.src)"
    strip = shown.ask(maps.format(".picture:first-of-type [data-strip] > li:first-child"))
    assert shown.ask(maps.format(".picture:first-of-type .view")) == strip and len(strip) == 2
    assert shown.texts(".picture:last-of-type .at") == ["11"], "each picture has its own"


def test_everything_that_can_be_used_is_reached_by_tab_and_seen(shown, page):
    from selenium.webdriver.common.keys import Keys

    shown.open(page)
    reached = []
    for _ in range(400):
        shown.press(Keys.TAB)
        tag = shown.ask("document.activeElement.tagName")
        if tag == "BODY":
            break
        reached.append(tag)
        style = "getComputedStyle(document.activeElement)"
        assert shown.ask(f"{style}.outlineStyle != 'none' || {style}.outlineWidth != '0px'"), tag
    for tag in ("A", "INPUT", "SUMMARY", "DIV", "PRE"):
        assert tag in reached
    assert reached.count("INPUT") == 2


def test_a_grid_of_heads_opens_by_keyboard(shown, page):
    from selenium.webdriver.common.keys import Keys

    shown.open(page)
    assert shown.ask("document.querySelector('details.heads').open")
    closed = "document.querySelector('details.heads:not([open])')"
    shown.ask(f"(window.mine = {closed}).querySelector('summary').focus()")
    shown.press(Keys.ENTER)
    assert shown.ask("window.mine.open")
    assert shown.ask("window.mine.querySelectorAll('.grid > li').length") == 12
    assert shown.ask("window.mine.querySelector('.grid').getBoundingClientRect().height") > 200


@pytest.mark.parametrize("width", [390, 320, 768, 1280])
def test_nothing_makes_the_page_wider_than_the_window(shown, tmp_path, width):
    wide = made(tmp_path, caption="w" * 120 + " {}", n=1)
    shown.open(wide, width)
    shown.ask("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert shown.ask("document.documentElement.scrollWidth") <= width
    beyond = """[...document.querySelectorAll('main *, header *, nav *')].filter(one => !one.closest('.scroll')
        && !one.matches('.told') && one.getBoundingClientRect().right > innerWidth + 1)
        .map(one => one.outerHTML.slice(0, 80))"""
    assert shown.ask(beyond) == []


@pytest.mark.parametrize("caption", HOSTILE)
def test_hostile_words_stay_words(shown, tmp_path, caption):
    shown.open(made(tmp_path, caption=caption, n=1, layers=3, heads=2))
    assert shown.complaints() == []
    assert shown.texts(".strip .caption")[1] == caption.replace("{}", "before 0.1")
    assert shown.texts(".words .caption") == [caption.replace("{}", "before 0.2")]
    assert shown.ask("document.querySelectorAll('script').length") == 1
    assert shown.ask("document.querySelectorAll('b, [onerror], [onfocus], img:not([src^=\"data:\"])').length") == 0


def test_a_script_that_got_in_would_not_run(shown, page, tmp_path):
    broken = tmp_path / "broken.html"
    html = page.read_text(encoding="utf-8")
    broken.write_text(html.replace("</main>", "<script>window.ran = 1</script></main>"), encoding="utf-8")
    shown.open(broken)
    assert shown.ask("window.ran === undefined")
    assert any("Content Security Policy" in said for said in shown.complaints())


LUMINANCE = """(selector => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = colour => { const [r, g, b] = colour.slice(0, 3).map(v => v / 255).map(
    v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const ground = one => { for (; one; one = one.parentElement) {
    const c = parse(getComputedStyle(one).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } };
  return [...document.querySelectorAll(selector)].map(one => {
    const a = light(parse(getComputedStyle(one).color)), b = light(ground(one));
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); });
})(arguments[0])"""


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_words_are_read_in_light_and_in_dark(shown, page, scheme, dark):
    shown.open(page, scheme=scheme)
    ground = shown.ask("getComputedStyle(document.body).backgroundColor")
    assert (int(ground[4:].split(",")[0]) < 60) is dark
    contrasts = shown.ask(
        LUMINANCE, "h1, h3, p, dt, dd, a, li, summary, .quiet, .coefficients td span, strong, pre, th"
    )
    assert len(contrasts) > 100 and min(contrasts) >= 4.5


def test_without_scripts_the_strips_and_grids_are_there(shown, page):
    shown.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        shown.open(page)
        assert shown.texts(".strip .caption")[:2] == ["caption before 0.0", "caption before 0.1"]
        assert shown.ask("document.querySelector('[data-stage]').hidden")
    finally:
        shown.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_on_paper_all_layers_are_laid_out(shown, page):
    shown.open(page)
    shown.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        height = "document.querySelector('[data-stage]').getBoundingClientRect().height"
        assert shown.ask(height) == 0
        edges = "[...document.querySelectorAll('.strip > li')].map(one => one.getBoundingClientRect().right)"
        assert max(shown.ask(edges)) <= shown.ask("document.documentElement.clientWidth")
    finally:
        shown.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    paper = base64.b64decode(shown.browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert paper.startswith(b"%PDF") and paper.count(b"/Type /Page\n") > 2


def test_a_screen_reader_is_told_what_is_where(shown, page):
    shown.open(page)
    assert shown.ask("document.documentElement.lang") == "en"
    assert shown.ask("['header', 'nav', 'main'].every(tag => document.querySelectorAll('body > ' + tag).length == 1)")
    assert shown.ask("[...document.images].every(one => one.hasAttribute('alt'))")
    assert shown.ask("[...document.querySelectorAll('[role=img], [role=region]')].every(one => one.ariaLabel)")
    assert shown.ask("[...document.querySelectorAll('th')].every(one => ['row', 'col'].includes(one.scope))")
    assert shown.ask("[...document.querySelectorAll('input')].every(one => one.labels.length == 1)")
    levels = [int(tag[1]) for tag in shown.ask("[...document.querySelectorAll('h1,h2,h3,h4')].map(one => one.tagName)")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = shown.ask("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    links = (
        "[...document.querySelectorAll('a')].every(one => document.getElementById(one.getAttribute('href').slice(1)))"
    )
    assert shown.ask(links)
