"""Files that a batch cell has and brings back: ``--input``, ``--output``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import Cell, Gate, Kernel, make_site
from tests.pool import Pool


def _notebook_folder(root: Path) -> Path:
    """A folder with files, and one beside it."""
    folder = root / "project" / "notebooks"
    (folder / "calib" / "v1").mkdir(parents=True)
    (folder / "calib" / "v1" / "gains.txt").write_text("7")
    (folder / "calib" / "empty").mkdir()
    (root / "project" / "data").mkdir()
    (root / "project" / "data" / "x.csv").write_text("35")
    return folder


@pytest.fixture(scope="module")
def local() -> Iterator[Kernel]:
    with make_site() as site:
        running = Kernel(site, cwd=_notebook_folder(site.root))
        yield running
        running.close()


@pytest.fixture(scope="module")
def condor(pool: Pool) -> Iterator[Kernel]:
    with make_site(backend="HTCondor", options={"memory": "200MB"}) as site:
        site.environment.update(pool.environ)
        running = Kernel(site, cwd=_notebook_folder(site.root))
        yield running
        running.close()


#: Reads a file of a folder, and one that is beside the notebook's, and writes two.
CELL = """\
import os
gains, x = open("calib/v1/gains.txt").read(), open("../data/x.csv").read()
assert os.path.isdir("calib/empty")
os.makedirs("out/deep", exist_ok=True)
open("out/deep/sum.txt", "w").write(str(int(gains) + int(x)))
open("out/more.bin", "wb").write(bytes(range(256)))
where = os.getcwd()
"""
OPTIONS = "--input calib/ --input '../data/*.csv' --output out/ --output 'missing*.txt'"


def test_on_local_the_files_are_where_the_cell_writes_them(local: Kernel) -> None:
    cell = local.run(f"%%batch {OPTIONS}\n{CELL}")
    local.until_panel(cell, "done")
    assert (local.folder / "out/deep/sum.txt").read_text() == "42"
    assert "Nothing was written that --output missing*.txt names." in cell.panel
    assert local.run("where").value == repr(str(local.folder))


def elsewhere(kernel: Kernel, code: str, meanwhile: Callable[[], None] = lambda: None) -> Cell:
    """Run a batch cell in the pool while the notebook's folder is another one, as on a machine without it."""
    gate = Gate(kernel.site.root / "gate")
    gate.close()
    line, _, source = code.partition("\n")
    cell = kernel.run(f"%%batch --set hold=True {line}\n{source}{gate.code}")
    kernel.until_panel(cell, "queued")  # HTCondor logs no hold of what is submitted so
    hidden = kernel.folder.with_name("hidden")
    kernel.folder.rename(hidden)
    kernel.folder.mkdir()
    try:
        kernel.run(f"%release {cell.job}")
        kernel.until_panel(cell, "running")
        kernel.listen(lambda: "folder of its own" in cell.panel)
    finally:
        kernel.folder.rmdir()
        hidden.rename(kernel.folder)
    meanwhile()
    gate.open()
    return cell


def test_in_a_pool_files_go_along_and_come_back(condor: Kernel) -> None:
    cell = elsewhere(condor, f"{OPTIONS}\n{CELL}")
    condor.until_panel(cell, "done")
    assert (condor.folder / "out/deep/sum.txt").read_text() == "42"
    assert (condor.folder / "out/more.bin").read_bytes() == bytes(range(256))
    assert "Brought out/deep/sum.txt, out/more.bin." in cell.panel
    assert "Nothing was written that --output missing*.txt names." in cell.panel
