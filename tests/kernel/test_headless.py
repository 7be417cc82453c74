"""The quickstart, run without a browser as `make demo` does: numbers and figures that the jobs computed."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.harness import Site

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"


def execute(notebook: nbformat.NotebookNode, site: Site) -> nbformat.NotebookNode:
    """Run a notebook with nbclient, which sends neither tags nor cell ids."""
    folder = site.root / "prefix" / "share" / "jupyter" / "kernels"
    manager = AsyncKernelManager(
        kernel_name="ganga_python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(folder)])
    )
    client = NotebookClient(notebook, km=manager, resources={"metadata": {"path": str(site.root)}})
    client.execute(env=site.environment)
    return notebook


def texts(cell: nbformat.NotebookNode) -> str:
    """What a cell printed."""
    return "".join(output.get("text", "") for output in cell.outputs)


def test_the_quickstart(site: Site) -> None:
    notebook = execute(nbformat.read(QUICKSTART, as_version=4), site)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    batch = [cell for cell in code if cell.source.startswith("%%batch")]
    assert len(batch) == 3
    for cell in batch:
        panel = cell.outputs[0]
        assert panel.metadata["ganga_kernel"]["role"] == "panel"
        assert ": done (Local" in panel.data["text/plain"]
    assert any("image/png" in output.get("data", {}) for output in batch[-1].outputs)
    assert "mass" in texts(batch[-1])
    summary = code[-1]
    assert any("image/png" in output.get("data", {}) for output in summary.outputs)
    widths = [float(found) for found in re.findall(r"width ([\d.]+) ±", texts(summary))]
    assert len(widths) == 3 and all(0.9 < width < 1.1 for width in widths)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def test_a_failed_job_fails_the_run_with_its_error(site: Site) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("%%batch\nprint('so far')\nraise OSError('no tape')")]
    )
    with pytest.raises(CellExecutionError, match="no tape"):
        execute(notebook, site)
    kinds = [output.output_type for output in notebook.cells[0].outputs]
    assert kinds == ["display_data", "stream", "error"]
