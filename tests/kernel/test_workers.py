"""Which Python runs a batch cell: the notebook's own, one that is named, or what a setup brings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Kernel, make_site
from tests.pool import Pool


@pytest.fixture(scope="module", params=["Local", "HTCondor"])
def kernel(request: pytest.FixtureRequest, pool: Pool) -> Iterator[Kernel]:
    with make_site(backend=request.param) as site:
        site.environment.update(pool.environ)
        running = Kernel(site)
        yield running
        running.close()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment without any package, of the notebook's Python."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


def test_a_named_python_runs_the_cell_in_its_own_environment(kernel: Kernel, bare: Path) -> None:
    kernel.run("import numpy\narray = numpy.arange(3)\nplain = [1, {'two': 2}]")
    cell = kernel.run(f"%%batch --python {bare}\nimport sys\nprefix = sys.prefix, plain[1]['two']")
    kernel.until_panel(cell, "done")
    assert kernel.run("prefix").value == f"('{bare.parent.parent}', 2)"
    assert f" at {bare} runs the cell." in cell.panel and "lacks" not in cell.panel
    lacking = kernel.run(f"%%batch --python {bare}\nprint('begun')\ntotal = array.sum()")
    kernel.until_panel(lacking, "failed")
    version = kernel.run("numpy.__version__").value.strip("'")
    assert f"It lacks numpy {version}, which the cell needs. Choose another Python with --py" in lacking.panel
    assert "begun" in lacking.text and "array is unavailable here" in kernel.run("total").error
    kernel.until_panel(kernel.run(f"%resubmit {lacking.job} --python {sys.executable}"), "done")
    assert kernel.run("int(total)").value == "3"


def test_what_a_setup_sets_wins_over_the_notebook(kernel: Kernel, bare: Path, tmp_path: Path) -> None:
    kernel.run("import os\nos.environ.update(FLAVOUR='notebook', GONE='here', KEPT='notebook')")
    setup = tmp_path / "setup.sh"
    setup.write_text(f"PATH={bare.parent}:$PATH\nexport FLAVOUR='of the worker'\necho set up\n")
    code = "import os, sys\nfound = sys.prefix, os.environ['FLAVOUR'], os.environ['KEPT']"
    cell = kernel.run(f"%%batch --setup 'source {setup}'\n{code}")
    kernel.until_panel(cell, "done")
    assert kernel.run("found").value == f"('{bare.parent.parent}', 'of the worker', 'notebook')"
    assert "set up" not in cell.text
    assert (
        f"Python: python3 of the worker, after source {setup}, in "
        in kernel.run(f"%%batch --dry-run --setup 'source {setup}'\n1").text
    )


def test_a_setup_or_python_that_does_not_work_says_so_and_can_be_mended(kernel: Kernel) -> None:
    absent = kernel.run("%%batch --setup 'source /nowhere/setup.sh'\nmended = 1")
    kernel.until_panel(absent, "broken")
    assert "could not run --setup source /nowhere/setup.sh: it ended with exit code 1" in absent.panel
    nowhere = kernel.run("%%batch --python /nowhere/python\nlost = 1")
    kernel.until_panel(nowhere, "broken")
    assert "has no Python at /nowhere/python. Choose one that the workers have with --python" in nowhere.panel
    assert "PythonNotFound" in kernel.run("lost").error
    again = kernel.run(f"%resubmit {absent.job} --setup true --python {sys.executable}")
    kernel.until_panel(again, "done")
    assert kernel.run("mended").value == "1"
    assert "it must be one line" in kernel.run("1", {"batch": {"setup": "a\nb"}, "tags": ["batch"]}).error


def test_a_container_is_for_htcondor_to_start(
    kernel: Kernel, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    image = tmp_path / "image.sif"
    shown = kernel.run("%%batch --dry-run --container docker://python:3.11\n1")
    if "Local" in request.node.name:
        assert "The backend Local can't be asked for container" in shown.error
        return
    described = [line.strip() for line in shown.text.splitlines()]
    assert {"universe = container", "container_image = docker://python:3.11"} <= set(described)
    assert any(line.startswith("arguments = \"'launch-") and "'python3' ''" in line for line in described)
    assert "Python: python3 of docker://python:3.11, in " in shown.text
    assert (
        "a registry is written docker://python:3.11" in kernel.run("%%batch --container python:3.11\n1").error
    )
    assert f"there is no image {image} here" in kernel.run(f"%%batch --container {image}\n1").error
