"""Kernels side by side."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import Site
from tests.transparent.stage import Theatre


@pytest.fixture(scope="module")
def theatre(site: Site) -> Iterator[Theatre]:
    """Kernels of all kinds, on one site."""
    found = Theatre(site)
    yield found
    found.close()
