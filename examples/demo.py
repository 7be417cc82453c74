"""Runs quickstart.ipynb without a browser, and says where the outcome is and what ran where.

``make demo`` calls it. It must run with the Python of the environment that has the kernel.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter

NOTEBOOK = Path(__file__).resolve().with_name("quickstart.ipynb")
OUTPUT = NOTEBOOK.parents[1] / "build" / "demo"
CELL_TIMEOUT = 120  # seconds


def main() -> int:
    """Run the notebook, write it and its HTML to build/demo, and return the exit code."""
    started = time.monotonic()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name=notebook.metadata.kernelspec.name,
        timeout=CELL_TIMEOUT,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    print(f"Running {_shown(NOTEBOOK)} on the kernel {client.kernel_name} ...", flush=True)
    problem = None
    try:
        client.execute()
    except NoSuchKernel:
        print("This environment has no such kernel: run make demo again.", file=sys.stderr)
        return 1
    except CellExecutionError as error:
        problem = f"a cell failed.\n\n{error}"
    except CellTimeoutError as error:
        problem = f"a cell took longer than {CELL_TIMEOUT} s.\n\n{error}"
    except DeadKernelError:
        problem = "the kernel died."

    OUTPUT.mkdir(parents=True, exist_ok=True)
    executed = OUTPUT / NOTEBOOK.name
    nbformat.write(notebook, executed)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    html = executed.with_suffix(".html")
    html.write_text(page, encoding="utf-8")

    print(f"\nThe executed notebook: {_shown(executed)}\nThe same as HTML:      {_shown(html)}")
    panels = _panels(notebook)
    if panels:
        print("\nWhat ran where:")
    for panel in panels:
        print(panel)
    if problem is not None:
        print(f"\nThe demo did not finish: {problem}", file=sys.stderr)
        return 1
    print(f"\nDone in {time.monotonic() - started:.0f} s.")
    return 0


def _panels(notebook: nbformat.NotebookNode) -> list[str]:
    """The text of each batch cell's panel, in the notebook's order."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return [
        output.data["text/plain"]
        for output in outputs
        if output.get("metadata", {}).get("ganga_kernel", {}).get("role") == "panel"
    ]


def _shown(path: Path) -> str:
    """The path as seen from the current folder, where it lies below that."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    sys.exit(main())
