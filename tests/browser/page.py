"""A page of a browser with a notebook in it, as its reader sees and uses it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from selenium import webdriver
from selenium.common.exceptions import JavascriptException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

from tests.harness import PATIENCE

from .front_ends import FrontEnd
from .server import Server

#: Seconds between two looks at the page.
GLANCE = 0.1
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"

#: What the page shows of its cells: text as a reader sees it, and whose output it is.
_READ = """
return front.cells().map(cell => ({
    prompt: cell.prompt.match(/\\[.*\\]/)?.[0] ?? '',
    outputs: cell.outputs.map(({prompt, node, model}) => ({
        prompt: prompt.match(/\\[.*\\]/)?.[0] ?? '',
        text: node?.innerText ?? '',
        badge: node?.querySelector('div > div > span')?.innerText ?? '',
        figure: [...node?.querySelectorAll('img') ?? []].some(image => image.naturalWidth > 0),
        error: model.output_type === 'error' || model.name === 'stderr',
        role: model.metadata?.ganga_kernel?.role ?? '',
    })),
}));
"""


class Batch(str):
    """The source of a batch cell."""


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
    """One cell, as the page shows it; its prompt is "[1]", "[*]" or "[ ]" in all front ends."""

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
        return "\n".join(shown.text for shown in self.results).strip()


class Page:
    """A page with a notebook.

    Parameters
    ----------
    driver: the browser
    server: where it goes
    front: the front end in which it shows the notebook

    Attributes
    ----------
    folder: where the notebook is, in which its cells run
    """

    def __init__(self, driver: webdriver.Chrome, server: Server, front: FrontEnd) -> None:
        self.driver, self.server, self.front = driver, server, front
        self.folder = server.folder
        self._notebook = ""

    # ------------------------------------------------------------------ opening

    def open(self, name: str, *sources: str) -> None:
        """Show a new notebook of these cells, in a folder of its own, and wait until its kernel is idle."""
        workspace = f"{self.front.name}-{name}"
        self.folder = self.server.folder / workspace
        self.folder.mkdir()
        self._notebook = f"{workspace}/{name}.ipynb"
        notebook = nbformat.v4.new_notebook(
            cells=[self._new_cell(source) for source in sources],
            metadata={
                "kernelspec": {
                    "name": "ganga_python3",
                    "display_name": "Ganga (Python 3)",
                    "language": "python",
                }
            },
        )
        nbformat.write(notebook, self.server.folder / self._notebook)
        address = self.front.address.format(workspace=workspace, notebook=self._notebook)
        self.driver.get(f"{self.server.url}/{address}?token={self.server.token}")
        self._wait_for_kernel()

    def _new_cell(self, source: str) -> nbformat.NotebookNode:
        batch = isinstance(source, Batch)
        if batch and not self.front.tags:
            return nbformat.v4.new_code_cell(f"%%batch\n{source}")
        return nbformat.v4.new_code_cell(source, metadata={"tags": ["batch"] if batch else []})

    def save_and_reload(self) -> None:
        """Save the notebook, and load the page anew, as with F5."""
        self.click(self.front.save)
        self.wait(lambda: self._ask("return front.saved()"), "the notebook is saved")
        self.driver.refresh()
        self._wait_for_kernel()

    def _wait_for_kernel(self) -> None:
        self.wait(
            lambda: (self.kernel()["notebook"], self.kernel()["status"]) == (self._notebook, "idle"),
            f"{self._notebook} is shown and its kernel idle",
        )

    # ------------------------------------------------------------------ reading

    def kernel(self) -> dict[str, str]:
        """What the page knows of the notebook's kernel: its id, its status, and the notebook."""
        return dict(self._ask("return front.kernel()"))

    def cells(self) -> list[Cell]:
        """The cells of the notebook."""
        return [Cell(one["prompt"], [Shown(**shown) for shown in one["outputs"]]) for one in self._ask(_READ)]

    def text(self, selector: str) -> str:
        """The text of what this CSS selector finds; empty if it finds nothing."""
        return str(
            self.driver.execute_script(
                "return document.querySelector(arguments[0])?.innerText ?? ''", selector
            )
        )

    def enabled(self, selector: str) -> bool:
        """Whether what this CSS selector finds can be clicked."""
        return self.driver.find_element(By.CSS_SELECTOR, selector).is_enabled()

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Look until that holds; what the page shows is in the error if it never does."""
        deadline = time.monotonic() + PATIENCE
        while True:
            failure: Exception | None = None
            try:
                if condition():
                    return
            except (IndexError, JavascriptException) as error:
                failure = error  # the page is still being built
            if time.monotonic() > deadline:
                self.screenshot("failed-to-show")
                raise AssertionError(f"not within {PATIENCE:.0f} s: {what}\n{self._shown()}") from failure
            time.sleep(GLANCE)

    def _shown(self) -> str:
        """The page in words, as far as it is there."""
        try:
            return "\n".join(map(str, [self.kernel(), *self.cells()]))
        except JavascriptException as error:
            return f"there is no notebook: {error.msg}"

    def wait_for_text(self, cell: int, text: str) -> None:
        """Look until a result of that cell says so."""
        self.wait(lambda: text in self.cells()[cell].text, f"cell {cell} shows {text!r}")

    def wait_for_panel(self, cell: int, state: str) -> None:
        """Look until the panel under that cell shows this state."""
        self.wait(lambda: self.cells()[cell].panel.badge == state, f"the panel of cell {cell} says {state}")

    def wait_for_prompt(self, cell: int, prompt: str) -> None:
        """Look until that cell has this prompt."""
        self.wait(lambda: self.cells()[cell].prompt == prompt, f"the prompt of cell {cell} is {prompt}")

    # ------------------------------------------------------------------ doing

    def run(self, cell: int) -> None:
        """Select a cell and run it."""
        self._ask("front.run(arguments[0])", cell)

    def run_all(self) -> None:
        """Run all cells."""
        self._ask("front.runAll()")

    def run_new(self, source: str) -> int:
        """Type a cell at the end and run it; returns its index."""
        last = len(self.cells())
        self._ask("front.add(arguments[0])", source)
        self.run(last)
        return last

    def interrupt(self) -> None:
        """Click the button that interrupts the kernel."""
        self.click(self.front.interrupt)

    def restart_and_run_all(self) -> None:
        """Click the button that restarts the kernel and runs all cells, and say yes."""
        self.click(self.front.restart_and_run_all)
        self.click(self.front.confirm)

    def answer(self, text: str) -> None:
        """Answer an ``input()``."""
        self.find(self.front.typing).send_keys(text, Keys.ENTER)

    def click(self, selector: str) -> None:
        """Click what this CSS selector finds."""
        self.find(selector).click()

    def find(self, selector: str) -> WebElement:
        """What this CSS selector finds, once it can be clicked."""
        try:
            clickable = expected_conditions.element_to_be_clickable((By.CSS_SELECTOR, selector))
            return WebDriverWait(self.driver, PATIENCE, GLANCE).until(clickable)
        except TimeoutException as error:
            raise AssertionError(f"nothing to click at {selector}\n{self._shown()}") from error

    def screenshot(self, scene: str) -> None:
        """Save a picture of the page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        assert self.driver.save_screenshot(str(SCREENSHOTS / f"{self.front.name}-{scene}.png"))

    def _ask(self, script: str, *arguments: object) -> Any:
        """What a script says that uses `front`, see the front end's own."""
        return self.driver.execute_script(self.front.code + script, *arguments)
