"""Cells on workers that share nothing with the notebook, not even its Python."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

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
    kernel.run("import numpy\narray = numpy.arange(6.).reshape(2, 3)")
    lost = kernel.run("%%batch\ntotal = array.sum()")
    kernel.until_panel(lost, "failed")
    assert "has no Python at " in lost.panel and "--pack" in lost.panel

    kernel.run(f"%resubmit {lost.job} --pack")
    assert kernel.run("total").value == "15.0"
