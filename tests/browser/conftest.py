"""A headless Chromium to look at pages with. Nothing is installed or downloaded here: what is missing is said."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NEEDS = "the browser tests need Debian's chromium and chromium-driver, and selenium: `make test-browser`"


def _missing() -> list[str]:
    programs = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    return [*programs, *([] if importlib.util.find_spec("selenium") else ["selenium"])]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The browser; skipped where there is none, unless HEADPRUNE_BROWSER asks for it."""
    missing = _missing()
    if missing:
        say = pytest.fail if os.environ.get("HEADPRUNE_BROWSER") else pytest.skip
        say(f"{NEEDS}; missing: {', '.join(missing)}")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


class Shown:
    """A page in the browser.

    Attributes:
        browser: selenium's driver.
    """

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def open(self, page: Path, width: int = 1280, scheme: str = "light") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for log in ("browser", "performance"):
            self.browser.get_log(log)
        self.browser.get(page.resolve().as_uri())

    def ask(self, script: str, *given: Any) -> Any:
        """What a line of JavaScript finds."""
        return self.browser.execute_script(f"return {script}", *given)

    def focus(self, selector: str) -> None:
        """Put the focus on an element. A browser that has much to do at first may take it away again."""
        from selenium.webdriver.support.ui import WebDriverWait

        script = "(one => (one.focus(), document.activeElement === one))(document.querySelector(arguments[0]))"
        WebDriverWait(self.browser, 10).until(lambda browser: self.ask(script, selector))

    def texts(self, selector: str) -> list[str]:
        return self.ask("[...document.querySelectorAll(arguments[0])].map(one => one.textContent)", selector)

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.browser).send_keys(key).perform()

    def complaints(self) -> list[str]:
        """What the console has said since the page was opened."""
        return [entry["message"] for entry in self.browser.get_log("browser")]


@pytest.fixture
def shown(browser: Any) -> Shown:
    return Shown(browser)
