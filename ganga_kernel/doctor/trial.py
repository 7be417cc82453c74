"""A trial: one batch cell through a real kernel, from the kernelspec to the worker and back."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import nbformat

from ..errors import RunError, RunInterrupted
from ..headless.client import Client, KernelEnded, started
from ..headless.runner import Runner
from ..install import KERNEL_NAME
from .finding import FAILURE, OK, Finding

_AREA = "Trial"
_CELL = """%%batch --backend {backend} --fresh
import json, platform, socket, sys
print(json.dumps([socket.gethostname(), sys.executable, platform.python_version()]))"""


def look(backend: str, folder: Path) -> list[Finding]:
    """Run a cell on a backend, and say where it ran and how long all of it took.

    It takes as long as the backend lets it wait; an interrupt ends the wait.

    Parameters
    ----------
    folder: where the notebook would be

    Raises
    ------
    RunInterrupted: by the user.
    """
    began = time.monotonic()
    source = _CELL.format(backend=backend)
    make: Any = nbformat.v4
    notebook = make.new_notebook(cells=[make.new_code_cell(source)])
    with tempfile.TemporaryFile() as kernel_says:
        try:
            with started(KERNEL_NAME, folder / "doctor.ipynb", kernel_says) as client:
                _run(Runner(notebook, client, lambda text: None), client)
        except RunInterrupted:
            raise
        except RunError as error:
            said = f"A batch cell on {backend} failed: {error.message}{_last_line(kernel_says)}"
            return [Finding(_AREA, FAILURE, said, error.remedy)]
    took = time.monotonic() - began
    text = "".join(one.text for one in notebook.cells[0].outputs if one.output_type == "stream")
    host, python, version = json.loads(text)
    return [
        Finding(_AREA, OK, f"A batch cell ran on {backend}: host {host}, Python {version} ({python}); it "
                f"took {took:.1f} s, the kernel's start included.")
    ]  # fmt: skip


def _last_line(log: IO[bytes]) -> str:
    """What the kernel said last, as a sentence; empty if it said nothing."""
    log.seek(0)
    lines = log.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f" The kernel said: {last}" if last else ""


def _run(runner: Runner, client: Client) -> None:
    """Run the cell; if the user ends the wait, its job is ended, too."""
    try:
        runner.run()
    except RunInterrupted:
        with contextlib.suppress(KernelEnded):  # interrupted twice: the job stays
            for job in runner.going():
                client.ask(f"%kill {job}", {}, lambda message: None, silent=True, store_history=False)
        raise
