"""Fixtures for tests in a real browser: a Jupyter server of their own, and headless Chromium."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.harness import PATIENCE, make_site

from . import front_ends
from .front_ends import FrontEnd
from .page import Page
from .server import Server, serve


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    """A Jupyter server with a user's folders of its own; one job runs at a time, the next one is queued."""
    with make_site(broker_idle=10.0, local_slots=1) as site, serve(site) as found:
        yield found


@pytest.fixture(scope="package")
def browser() -> Iterator[webdriver.Chrome]:
    """Headless Chromium, with a new profile."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.fail(
            "The browser tests need Chromium and its WebDriver: run tests/system-packages, which installs "
            "them, and then the tests again.",
            pytrace=False,
        )
    with tempfile.TemporaryDirectory(prefix="gk-chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        # Leaving a page with unsaved changes asks; the tests say yes.
        options.unhandled_prompt_behavior = "accept"
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--window-size=1400,1500", f"--user-data-dir={profile}",
        ):  # fmt: skip
            options.add_argument(argument)
        driver = webdriver.Chrome(options=options, service=Service(chromedriver))
        try:
            driver.set_page_load_timeout(PATIENCE)
            driver.set_script_timeout(PATIENCE)
            yield driver
        finally:
            driver.quit()


@pytest.fixture(params=front_ends.CHOSEN, ids=lambda front: front.name)
def page(browser: webdriver.Chrome, server: Server, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page in each of the front ends; at its end the kernels that it started are shut down."""
    front: FrontEnd = request.param
    yield Page(browser, server, front)
    browser.get("about:blank")
    for session in server.ask("sessions"):
        server.ask(f"sessions/{session['id']}", "DELETE")


class Gates:
    """Hold cells up until the test lets them go on, so that no test depends on how fast the machine is.

    Cells run in their notebook's folder, batch cells too; there a gate is a file.
    """

    #: A cell that defines what waits. It ends by itself, should the test be gone.
    DEFINITION = (
        "import time\n"
        "from pathlib import Path\n\n"
        "def wait_for(gate):\n"
        "    end = time.monotonic() + 120\n"
        "    while not (Path(gate).exists() or Path('all').exists()) and time.monotonic() < end:\n"
        "        time.sleep(0.05)"
    )

    def __init__(self, page: Page) -> None:
        self._page = page

    def open(self, name: str) -> None:
        """Let the cells go on that wait for this one; "all" lets go on whatever waits."""
        (self._page.folder / name).touch()


@pytest.fixture
def gates(page: Page) -> Iterator[Gates]:
    """The gates of a page's notebook, opened at the latest when the test ends, so that no job outlives it."""
    found = Gates(page)
    yield found
    found.open("all")
