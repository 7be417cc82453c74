"""A kernel for each place: Local, a real HTCondor pool, one whose workers share nothing with the notebook, and
one whose schedd and workers get all files by spooling.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.environments import environment, wrap
from tests.harness import Kernel, make_site
from tests.pool import Pool, SpoolingPool, UnsharedPool

#: What the notebooks need besides IPython.
_PACKAGES = ("ipykernel", "awkward", "iminuit", "matplotlib", "numpy", "pandas", "particle")


@pytest.fixture(scope="module", params=["Local", "HTCondor", "nothing shared", "spooled"])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    """A kernel whose batch cells run there."""
    if request.param == "nothing shared":
        with _with_a_pack(request.getfixturevalue("unshared_pool")) as running:
            yield running
        return
    if request.param == "spooled":
        spooling: SpoolingPool = request.getfixturevalue("spooling_pool")
        with spooling.kernel() as running:
            yield running
        return
    options = {"memory": "200MB"} if request.param == "HTCondor" else {}
    with make_site(backend=request.param, options=options) as site:
        if request.param == "HTCondor":
            pool: Pool = request.getfixturevalue("pool")
            site.environment.update(pool.environ)
        running = Kernel(site)
        yield running
        running.close()


@contextmanager
def _with_a_pack(unshared: UnsharedPool) -> Iterator[Kernel]:
    """A kernel of another Python, whose environment goes along with each job."""
    options = {"memory": "200MB", "pack": True}
    with make_site(unshared.hidden, backend="HTCondor", options=options) as site:
        site.environment.update(unshared.pool.environ)
        running = Kernel(site, wrap(site, environment(unshared.python, *_PACKAGES)))
        yield running
        running.close()
