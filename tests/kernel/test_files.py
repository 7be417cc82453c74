"""Files that a batch cell has and brings back: ``--input``, ``--output``."""

from __future__ import annotations

import contextlib
import functools
import http.server
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganga_kernel.inputfiles import LARGE
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


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of the files in a folder."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_on_local_the_files_are_where_the_cell_writes_them(local: Kernel) -> None:
    cell = local.run(f"%%batch {OPTIONS}\n{CELL}")
    later = local.run("%%batch --input out/deep/sum.txt\nread = open('out/deep/sum.txt').read()")  # it waits
    _finished(local, later, "done")
    assert local.run("read").value == "'42'" and ": done (" in cell.panel
    assert (local.folder / "out/deep/sum.txt").read_text() == "42"
    assert "Nothing was written that --output missing*.txt names." in cell.panel
    assert local.run("where").value == repr(str(local.folder))
    for refused, said in (
        ("--input nothing.csv", "--input nothing.csv names no file"),
        ("--input /etc/passwd", "relative to the notebook's folder"),
        ("--input https://host/x.csv", "only HTCondor fetches URLs"),
        ("--output ../x.csv", "below the notebook's folder"),
    ):
        assert said in local.run(f"%%batch {refused}\nx = 1").error


def test_an_input_that_has_changed_makes_it_another_cell(local: Kernel) -> None:
    (local.folder / "version.txt").write_text("first")
    code = "%%batch --cache --input version.txt\nversion = open('version.txt').read()"
    first = local.until_panel(local.run(code), "done").job
    assert local.run(code).job == first
    (local.folder / "version.txt").write_text("second")
    assert local.run(code).job != first
    assert local.run("version").value == "'second'"


def _finished(kernel: Kernel, cell: Cell, state: str) -> None:
    """Wait until a job has ended and all that it brings is there."""
    kernel.until_panel(cell, state)
    kernel.run(f"%wait {cell.job}")


def elsewhere(kernel: Kernel, code: str, tasks: int = 1) -> Cell:
    """Run a batch cell in the pool while the notebook's folder is another one, as on a machine without it."""
    gate = Gate(kernel.site.root / "gate")
    gate.close()
    started = Path(tempfile.mkdtemp(dir=kernel.site.root))
    here = f"import os\nopen(f'{started}/{{os.getpid()}}', 'w').close()\n"
    line, _, source = code.partition("\n")
    cell = kernel.run(f"%%batch --set hold=True {line}\n{here}{gate.code}{source}")
    kernel.until_panel(cell, "queued")  # HTCondor logs no hold of what is submitted so
    hidden = kernel.folder.with_name("hidden")
    kernel.folder.rename(hidden)
    kernel.folder.mkdir()
    try:
        kernel.run(f"%release {cell.job}")
        kernel.listen(lambda: len(list(started.iterdir())) == tasks)
    finally:
        kernel.folder.rmdir()
        hidden.rename(kernel.folder)
    gate.open()
    return cell


def test_in_a_pool_files_go_along_and_come_back(condor: Kernel) -> None:
    with (condor.folder.parent / "data" / "large.bin").open("wb") as file:
        file.truncate(LARGE)
    dry = condor.run(f"%%batch --dry-run {OPTIONS}\n{CELL}").text
    assert "calib/v1/gains.txt\n" in dry and "Output that comes back: out, missing*.txt." in dry
    assert "The cell opens" not in dry and "transfer_output_files = $(task).result, $(task).files\n" in dry
    sized = f"assert os.path.getsize('../data/large.bin') == {LARGE}"
    cell = elsewhere(condor, f"{OPTIONS} --input ../data/large.bin\n{CELL}{sized}")
    _finished(condor, cell, "done")
    assert (condor.folder / "out/deep/sum.txt").read_text() == "42"
    assert (condor.folder / "out/more.bin").read_bytes() == bytes(range(256))
    assert "Brought out/deep/sum.txt, out/more.bin." in cell.panel
    assert "Nothing was written that --output missing*.txt names." in cell.panel


def test_in_a_pool_that_shares_the_folder_the_cell_runs_there(condor: Kernel) -> None:
    cell = condor.run(f"%%batch {OPTIONS}\n{CELL}open('out/shared.txt', 'w').write(where)")
    _finished(condor, cell, "done")
    assert (condor.folder / "out/shared.txt").read_text() == str(condor.folder)
    assert "Brought" not in cell.panel and "Nothing was written that" in cell.panel


def test_a_file_that_nobody_named_is_told_before_and_after(condor: Kernel) -> None:
    cell = elsewhere(condor, "--output unread.txt\nopen('calib/v1/gains.txt')\n")
    _finished(condor, cell, "failed")
    early = "The cell opens calib/v1/gains.txt: where workers don't see this folder, add --input calib/v1/"
    assert early in cell.panels[0] and early not in cell.panel
    assert "If it is beside the notebook, --input calib/v1/gains.txt brings it along." in cell.text


def test_the_files_of_a_map_s_items_and_of_the_one_that_ran_again(condor: Kernel, tmp_path: Path) -> None:
    (mark := tmp_path / "mark").touch()
    source = f"open(f'part{{i}}.txt', 'w').write(str(i))\nassert i < 2 or not os.path.exists({str(mark)!r})\n"
    condor.run("import os")
    cell = elsewhere(condor, f"--map i=range(3) --chunk 1 --output 'part*.txt'\n{source}", tasks=3)
    _finished(condor, cell, "failed")
    assert not list(condor.folder.glob("part*"))
    mark.unlink()
    again = condor.run(f"%resubmit {cell.job} --failed")
    condor.until_panel(again, "queued")
    condor.run(f"%release {again.job}")
    _finished(condor, again, "done")
    assert "Brought part0.txt, part1.txt" in again.panel
    assert [(condor.folder / f"part{i}.txt").read_text() for i in range(3)] == ["0", "1", "2"]


def test_urls_are_fetched_by_the_pool(condor: Kernel, tmp_path: Path) -> None:
    (tmp_path / "fetched.txt").write_text("from afar")
    with served(tmp_path) as address:
        cell = condor.run(f"%%batch --input {address}/fetched.txt\nfetched = open('fetched.txt').read()")
        _finished(condor, cell, "done")
    assert condor.run("fetched").value == "'from afar'"
    assert not (condor.folder / "fetched.txt").exists()
    refused = condor.run("%%batch --input nosuch://host/file.txt\nx = 1")
    assert "No slot of the pool can fetch nosuch://host/file.txt: they know" in refused.error
