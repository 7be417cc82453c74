"""Cells on workers that share nothing with the notebook, not even its Python."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.environments import environment, wrap
from tests.harness import Kernel, make_site
from tests.pool import UnsharedPool


@pytest.fixture(scope="module")
def kernel(unshared_pool: UnsharedPool) -> Iterator[Kernel]:
    inner = environment(unshared_pool.python, "ipykernel", "numpy")
    with make_site(unshared_pool.hidden, backend="HTCondor", idle_pause=2.0) as site:
        site.environment.update(unshared_pool.pool.environ)
        own = site.root / "environment"  # a package will be installed
        shutil.copytree(inner.parents[1], own, symlinks=True)
        running = Kernel(site, wrap(site, own / "bin" / "python"))
        yield running
        running.close()


def test_a_cell_runs_where_nothing_is_shared(kernel: Kernel) -> None:
    kernel.run("import numpy, sys\narray = numpy.arange(6.).reshape(2, 3)")
    lost = kernel.run("%%batch\ntotal = array.sum()")
    kernel.until_panel(lost, "broken")
    assert "has no Python at " in lost.panel and "send the notebook's own along with --pack" in lost.panel

    again = kernel.run(f"%resubmit {lost.job} --pack")
    assert kernel.run("float(total)").value == "15.0"
    assert any("Packing the environment." in panel for panel in again.panels)
    assert "lacks" not in again.panel

    # A second cell gets the same pack, which is unpacked already; one after pip install another.
    code = "import sys\nplace, row = sys.prefix, array[0]"
    kernel.until_panel(kernel.run(f"%%batch --pack\n{code}"), "done")
    place, version = kernel.run("place").value or "", kernel.run("sys.version_info[:2]").value
    assert "/.environment" not in place
    packages = Path(kernel.run("numpy.__path__[0]").value.strip("'")).parent
    (packages / "installed_later.py").write_text("answer = 42\n")
    later = kernel.run("%%batch --pack\nimport installed_later\nthere = sys.prefix, installed_later.answer")
    kernel.until_panel(later, "done")
    assert version and kernel.run("there[1], there[0] == place").value == "(42, False)"


def test_each_host_unpacks_it_once(kernel: Kernel) -> None:
    code = """
import os, socket, sys, time
made = socket.gethostname(), os.stat(sys.prefix).st_ctime_ns
time.sleep(1.5)
"""
    mapped = kernel.run(f"%%batch --pack --map item=range(4) --chunk 1{code}")
    kernel.until_panel(mapped, "done")
    hosts = kernel.run("sorted(host for host, _ in set(made))").value
    assert hosts == "['alpha', 'beta']", kernel.run("made").value


def test_what_it_needs_is_checked_before_it_is_unpacked(kernel: Kernel) -> None:
    assert "a local job runs in it as it is" in kernel.run("%%batch --pack --backend Local\n1").error
    assert "Leave one of them out" in kernel.run("%%batch --pack --python python3\n1").error
    assert "packed and sent along" in kernel.run("%%batch --pack --dry-run\n1").text
