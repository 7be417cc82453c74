"""Fixtures for tests in a real browser: a JupyterLab of its own, and headless Chromium."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from selenium import webdriver
from selenium.common.exceptions import JavascriptException, TimeoutException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

from tests.harness import Site, make_site

#: Seconds that anything may take on a busy machine.
PATIENCE = 60.0
#: Seconds between two looks at the page.
GLANCE = 0.1
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"

#: What the page shows of the notebook in front: text as a reader sees it, and whose output it is.
_CELLS = """
const panel = window.jupyterapp?.shell.currentWidget;
const notebook = panel?.content;
if (!notebook?.widgets) return [];
return notebook.widgets.map(cell => ({
    prompt: cell.node.querySelector('.jp-InputPrompt')?.innerText.trim() ?? '',
    outputs: [...cell.node.querySelectorAll('.jp-OutputArea-child')].map((node, index) => {
        const shown = node.querySelector('.jp-OutputArea-output');
        const model = cell.model.outputs?.get(index);
        return {
            prompt: node.querySelector('.jp-OutputPrompt')?.innerText.trim() ?? '',
            text: shown?.innerText ?? '',
            badge: shown?.querySelector('div > div > span')?.innerText ?? '',
            figure: [...node.querySelectorAll('img')].some(image => image.naturalWidth > 0),
            error: shown?.dataset.mimeType === 'application/vnd.jupyter.stderr' || model?.type === 'error',
            role: model?.metadata?.ganga_kernel?.role ?? '',
        };
    }),
}));
"""

_KERNEL = """
const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
return {
    path: window.jupyterapp?.shell.currentWidget?.context?.path ?? '',
    ready: context?.isReady ?? false,
    status: context?.session?.kernel?.status ?? 'none',
    id: context?.session?.kernel?.id ?? '',
};
"""


@dataclass(frozen=True)
class Shown:
    """One output of a cell, as the page shows it."""

    prompt: str
    text: str
    badge: str
    figure: bool
    error: bool
    role: str


@dataclass(frozen=True)
class Cell:
    """One cell, as the page shows it."""

    prompt: str
    outputs: list[Shown]

    @property
    def panel(self) -> Shown:
        """The panel; the cell must have exactly one, or none yet."""
        panels = [shown for shown in self.outputs if shown.role == "panel"]
        assert len(panels) <= 1, f"{len(panels)} panels under one cell: {panels}"
        return panels[0] if panels else Shown("", "", "", False, False, "")

    @property
    def results(self) -> list[Shown]:
        """The outputs other than the panel."""
        return [shown for shown in self.outputs if shown.role != "panel"]

    @property
    def text(self) -> str:
        """The results' text."""
        return "\n".join(shown.text for shown in self.results)


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab.

    Parameters
    ----------
    site: the user's folders that it runs with
    folder: where its notebooks are
    """

    site: Site
    folder: Path
    url: str
    token: str

    def write(self, name: str, *cells: tuple[str, list[str]]) -> None:
        """Save a notebook of code cells, each a source and its tags."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source, metadata={"tags": tags}) for source, tags in cells],
            metadata={
                "kernelspec": {
                    "name": "ganga_python3",
                    "display_name": "Ganga (Python 3)",
                    "language": "python",
                }
            },
        )
        nbformat.write(notebook, self.folder / name)

    def ask(self, path: str, method: str = "GET") -> Any:
        """An answer of the server's REST interface.

        Raises
        ------
        OSError: there is no server yet.
        """
        request = urllib.request.Request(
            f"{self.url}/api/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None


class Page:
    """A browser's page with JupyterLab in it.

    Parameters
    ----------
    driver: the browser
    lab: where it goes
    """

    def __init__(self, driver: webdriver.Chrome, lab: Lab) -> None:
        self.driver, self.lab = driver, lab

    def open(self, name: str) -> None:
        """Show a notebook, and wait until its kernel is idle. A workspace of its own shows nothing else."""
        workspace = name.removesuffix(".ipynb")
        self.driver.get(f"{self.lab.url}/lab/workspaces/{workspace}/tree/{name}?token={self.lab.token}")
        self.wait_for_kernel(name)

    def reload(self, name: str) -> None:
        """Load the page anew, as with F5."""
        self.driver.refresh()
        self.wait_for_kernel(name)

    def wait_for_kernel(self, name: str) -> None:
        """Wait until the notebook is in front and its kernel idle."""
        self.wait(
            lambda: (state := self.kernel()) | {"path": name, "ready": True, "status": "idle"} == state,
            f"{name} is open and its kernel idle",
        )

    def kernel(self) -> dict[str, Any]:
        """What the page knows of the kernel of the notebook in front."""
        return dict(self.driver.execute_script(_KERNEL))

    def cells(self) -> list[Cell]:
        """The cells of the notebook in front."""
        found = self.driver.execute_script(_CELLS)
        return [Cell(one["prompt"], [Shown(**shown) for shown in one["outputs"]]) for one in found]

    def wait(self, condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        """Look until that holds; what the page shows is in the error if it never does."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except (IndexError, JavascriptException):
                pass  # the page is still being built
            if time.monotonic() > deadline:
                shown = "\n".join(map(str, self.cells()))
                raise AssertionError(f"not within {seconds:.0f} s: {what}\n{self.kernel()}\n{shown}")
            time.sleep(GLANCE)

    def wait_for_text(self, cell: int, text: str) -> None:
        """Look until a result of that cell says so."""
        self.wait(lambda: text in self.cells()[cell].text, f"cell {cell} shows {text!r}")

    def wait_for_panel(self, cell: int, state: str) -> None:
        """Look until the panel under that cell shows this state."""
        self.wait(lambda: self.cells()[cell].panel.badge == state, f"the panel of cell {cell} says {state}")

    def start(self, command: str) -> None:
        """Execute a command of JupyterLab's, as its menus do, and don't wait for its end."""
        self.driver.execute_script(
            "window.ended = false;"
            "window.jupyterapp.commands.execute(arguments[0]).finally(() => { window.ended = true; });",
            command,
        )

    def wait_for_end(self) -> None:
        """Wait for the end of the command that was started last."""
        self.wait(lambda: self.driver.execute_script("return window.ended"), "the command ended")

    def run(self, cell: int) -> None:
        """Select a cell and run it."""
        self.driver.execute_script(
            "window.jupyterapp.shell.currentWidget.content.activeCellIndex = arguments[0]", cell
        )
        self.start("notebook:run-cell")

    def run_new(self, source: str) -> int:
        """Type a cell at the end and run it; returns its index."""
        self.driver.execute_script(
            "const panel = window.jupyterapp.shell.currentWidget;"
            "const model = panel.content.model.sharedModel;"
            "model.insertCell(model.cells.length, {cell_type: 'code', source: arguments[0]});",
            source,
        )
        last = len(self.cells()) - 1
        self.run(last)
        return last

    def click(self, selector: str) -> None:
        """Click what this CSS selector finds, once it can be clicked."""
        try:
            clickable = expected_conditions.element_to_be_clickable((By.CSS_SELECTOR, selector))
            WebDriverWait(self.driver, PATIENCE).until(clickable).click()
        except TimeoutException as error:
            raise AssertionError(f"nothing to click at {selector}") from error

    def toolbar(self, command: str) -> None:
        """Click the button of that command in the toolbar of the notebook in front."""
        self.click(
            f".jp-NotebookPanel:not(.lm-mod-hidden) .jp-NotebookPanel-toolbar [data-command='{command}']"
        )

    def screenshot(self, name: str) -> Path:
        """Save a picture of the page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        assert self.driver.save_screenshot(str(path))
        return path


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A JupyterLab with a user's folders of its own; kernels and broker must end after it."""
    with make_site(broker_idle=2.0) as site:
        folder = site.root / "notebooks"
        folder.mkdir()
        _without_news(site.config.parent)
        found = Lab(site, folder, f"http://127.0.0.1:{_free_port()}", secrets.token_hex(16))
        log = site.root / "lab.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                _command(found),
                cwd=folder,
                env={**site.environment, "JUPYTER_DATA_DIR": str(site.root / "data")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_for(found, server, log)
            yield found
        finally:
            _end(found, server)


@pytest.fixture(scope="module")
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


@pytest.fixture
def page(browser: webdriver.Chrome, lab: Lab) -> Iterator[Page]:
    """A page; at its end the kernels that it started are shut down."""
    yield Page(browser, lab)
    browser.get("about:blank")
    for session in lab.ask("sessions"):
        lab.ask(f"sessions/{session['id']}", "DELETE")


def _command(lab: Lab) -> list[str]:
    """What starts the server. Its port was free a moment ago: with another one it must not start."""
    return [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--port={lab.url.rpartition(':')[2]}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={lab.token}", f"--ServerApp.root_dir={lab.folder}",
        "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip


def _without_news(config: Path) -> None:
    """JupyterLab asks at its first start whether it may fetch news; there is no network to fetch from."""
    folder = config / "labconfig"
    folder.mkdir()
    disabled = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (folder / "page_config.json").write_text(json.dumps(disabled))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            lab.ask("status")
            return
        except OSError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(
                    f"JupyterLab doesn't answer ({error}); it said:\n{log.read_text()}"
                ) from error
        time.sleep(GLANCE)


def _end(lab: Lab, server: subprocess.Popen[bytes]) -> None:
    """Shut the server down. Its kernels end with it, and a while later the broker ends by itself."""
    started = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
    broker = lab.site.broker()
    if server.poll() is None:
        server.terminate()  # as a service manager does: the server shuts its kernels down first
    try:
        server.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    left = psutil.wait_procs([*started, *([broker] if broker else [])], timeout=PATIENCE / 2)[1]
    names = [" ".join(process.cmdline()) for process in left if process.is_running()]
    for process in left:
        process.terminate()
    psutil.wait_procs(left, timeout=PATIENCE / 2)
    assert not names, f"still there half a minute after JupyterLab ended: {names}"
