"""Without a browser: the quickstart as `make demo` runs it, and what others use to run notebooks.

Those send neither tags nor cell ids, so their batch cells begin with ``%%batch``, and end with their jobs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbformat.v4 import new_notebook

from tests.harness import Site
from tests.notebooks import LONGEST, code, kinds, panel, run, saved, texts, write

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"


def test_the_quickstart(site: Site) -> None:
    notebook = shutil.copy(QUICKSTART, site.root / "quickstart.ipynb")
    ran = run(site, Path(notebook))
    assert ran.exit_code == 0, ran.said
    batch = [cell for cell in ran.cells if "batch" in cell.metadata.get("tags", [])]
    assert len(batch) == 3
    assert all(": done (Local" in panel(cell) for cell in batch)
    assert any("image/png" in output.get("data", {}) for output in batch[-1].outputs)
    assert "mass" in texts(batch[-1])
    summary = ran.cells[-1]
    assert any("image/png" in output.get("data", {}) for output in summary.outputs)
    widths = [float(found) for found in re.findall(r"width ([\d.]+) ±", texts(summary))]
    assert len(widths) == 3 and all(0.9 < width < 1.1 for width in widths)
    assert [cell.execution_count for cell in ran.cells] == list(range(1, len(ran.cells) + 1))


GOOD = (
    code("size = 2"),
    code("%%batch\nprint('working')\ndouble = 2 * size\ndouble"),
    code("double + 1"),
)
BAD = (code("%%batch\nprint('so far')\nraise OSError('no tape')"),)


def check_good(cells: list[NotebookNode]) -> None:
    _, batch, last = cells
    assert ": done (Local" in panel(batch) and texts(batch) == "working\n"
    assert kinds(batch) == ["display_data", "stream", "execute_result"]
    assert batch.outputs[-1].data["text/plain"] == "4" and last.outputs[0].data["text/plain"] == "5"


def check_bad(cells: list[NotebookNode]) -> None:
    assert kinds(cells[-1]) == ["display_data", "stream", "error"]
    assert ": failed (Local" in panel(cells[-1]) and texts(cells[-1]) == "so far\n"


def test_nbclient(site: Site) -> None:
    folder = site.root / "prefix" / "share" / "jupyter" / "kernels"

    def run_cells(*cells: NotebookNode) -> list[NotebookNode]:
        notebook = new_notebook(cells=[nbformat.from_dict(cell) for cell in cells])
        manager = AsyncKernelManager(
            kernel_name="ganga_python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(folder)])
        )
        client = NotebookClient(notebook, km=manager, resources={"metadata": {"path": str(site.root)}})
        try:
            client.execute(env=site.environment)
        finally:
            executed.extend(notebook.cells)
        return notebook.cells

    executed: list[NotebookNode] = []
    check_good(run_cells(*GOOD))
    executed.clear()
    with pytest.raises(CellExecutionError, match="no tape"):
        run_cells(*BAD)
    check_bad(executed)


EXECUTE = "jupyter-execute IN --output OUT"
NBCONVERT = "jupyter-nbconvert --to notebook --execute IN --output OUT"
PAPERMILL = "papermill --no-progress-bar IN OUT"


def execute(site: Site, folder: Path, tool: str, cells: tuple[NotebookNode, ...]) -> tuple[int, str]:
    """Run a notebook of these cells with a tool's command line, into ``out.ipynb``: exit code and stderr."""
    notebook, out = write(folder / "in.ipynb", *cells), folder / "out.ipynb"
    name, *arguments = tool.replace("IN", str(notebook)).replace("OUT", str(out)).split()
    done = subprocess.run(
        [Path(sys.executable).parent / name, *arguments],
        env=site.environment, capture_output=True, text=True, timeout=LONGEST, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize("tool", [EXECUTE, NBCONVERT, PAPERMILL])
def test_other_tools(site: Site, tmp_path: Path, tool: str) -> None:
    exit_code, said = execute(site, tmp_path, tool, GOOD)
    assert exit_code == 0, said
    check_good(saved(tmp_path / "out.ipynb"))


@pytest.mark.parametrize("tool", [EXECUTE, NBCONVERT, PAPERMILL])
def test_other_tools_with_a_job_that_fails(site: Site, tmp_path: Path, tool: str) -> None:
    exit_code, said = execute(site, tmp_path, tool, BAD)
    assert exit_code != 0 and "OSError" in said and "no tape" in said
    if tool == PAPERMILL:  # the others save nothing then
        check_bad(saved(tmp_path / "out.ipynb"))
