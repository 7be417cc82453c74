"""Fixtures for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.harness import Gate, Kernel, Site, make_site

pytest_plugins = ["tests.pool", "tests.slurm"]

# A shell starts what runs in its background with SIGINT ignored, and what the tests start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Machines are noisy: no test fails for being slow.
hypothesis.settings.register_profile("noisy", deadline=None)
hypothesis.settings.load_profile("noisy")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A user's folders of this module's own."""
    with make_site() as found:
        yield found


@pytest.fixture(scope="module")
def kernel(site: Site) -> Iterator[Kernel]:
    """A kernel that a module's tests share; each uses names of its own."""
    running = Kernel(site)
    yield running
    running.close()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate, opened at the latest when the test ends, so that no job outlives it for long."""
    found = Gate(tmp_path / "gate")
    yield found
    found.open()
