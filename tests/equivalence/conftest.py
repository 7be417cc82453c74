"""A kernel for each backend: Local, and a real HTCondor pool."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import Kernel, make_site
from tests.pool import Pool


@pytest.fixture(scope="module", params=["Local", "HTCondor"])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    """A kernel whose batch cells run on this backend."""
    options = {"memory": "200MB"} if request.param == "HTCondor" else {}
    with make_site(backend=request.param, options=options) as site:
        if request.param == "HTCondor":
            pool: Pool = request.getfixturevalue("pool")
            site.environment.update(pool.environ)
        running = Kernel(site)
        yield running
        running.close()
