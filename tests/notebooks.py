"""Notebooks in a test: written, run without a browser, and looked at."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from tests.harness import Site

#: Seconds after which a run that hangs is ended, before the test itself is.
LONGEST = 150

#: Defines `meet`, by which two cells wait for each other, and `await_`, by which one waits for a file.
MEETING = """
import time
from pathlib import Path

def await_(name):
    deadline = time.monotonic() + 150
    while not Path(name).exists():
        assert time.monotonic() < deadline, f"{name} never came"
        time.sleep(0.02)

def meet(mine, other):
    Path(mine).touch()
    await_(other)
"""


def code(source: str, *tags: str) -> NotebookNode:
    """A code cell with these tags."""
    return new_code_cell(source, metadata={"tags": list(tags)} if tags else {})


def write(path: Path, *cells: NotebookNode) -> Path:
    """Write a notebook of these cells, for the kernel of the tests."""
    spec = {"name": "ganga_python3", "display_name": "Ganga (Python 3)", "language": "python"}
    nbformat.write(new_notebook(cells=list(cells), metadata={"kernelspec": spec}), path)
    return path


@dataclass
class Ran:
    """How ``ganga-kernel run`` ended: exit code, what it said, and the code cells that it saved."""

    exit_code: int
    said: str
    cells: list[NotebookNode]


def command(*arguments: str | Path) -> list[str]:
    """The command line of ``ganga-kernel run``."""
    return [sys.executable, "-m", "ganga_kernel", "run", *map(str, arguments)]


def run(site: Site, notebook: Path, *arguments: str) -> Ran:
    """Run a notebook, and save the outcome in its place."""
    done = subprocess.run(
        command(notebook, "-o", notebook, *arguments),
        env=site.environment, capture_output=True, text=True, timeout=LONGEST, check=False,
    )  # fmt: skip
    assert "Traceback (most recent call last):\n  File" not in done.stderr
    return Ran(done.returncode, done.stderr, saved(notebook))


def saved(notebook: Path) -> list[NotebookNode]:
    """The code cells of a saved notebook, which must be valid."""
    found = nbformat.read(notebook, as_version=4)
    nbformat.validate(found)
    return [cell for cell in found.cells if cell.cell_type == "code"]


def texts(cell: NotebookNode) -> str:
    """What a cell printed."""
    return "".join(output.get("text", "") for output in cell.outputs)


def kinds(cell: NotebookNode) -> list[str]:
    """The kinds of a cell's outputs."""
    return [output.output_type for output in cell.outputs]


def panel(cell: NotebookNode) -> str:
    """The text of a batch cell's panel, its first output."""
    first = cell.outputs[0]
    assert first.metadata["ganga_kernel"]["role"] == "panel"
    return str(first.data["text/plain"])
