"""Ordinary cells while the grid kernel redraws the panels of running jobs.

The jobs sleep, and report ten times a second. Panels are drawn anew each time, as a job's output is cleared
first; so it is with progress bars.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from .batch import done
from .client import GANGA, PLAIN, Kernel, kernel
from .figures import Figure, Section
from .ordinary import Pair, alternate, trip
from .site import Site

#: Jobs that run at once.
JOBS = 4
#: Seconds between two samples: they spread over many redraws.
_PAUSE = 0.02
_SETUP = "import os, time\nfrom IPython.display import clear_output"
_JOB = """
while not os.path.exists({gate!r}):
    time.sleep(0.1)
    clear_output(wait=True)
    print('now', time.time())
"""
_AIM = "1.5 x"
_REDRAWN = f"round trip of `pass` while {JOBS} panels are redrawn"
_PENDING = f"round trip of `pass` while {JOBS} panels are redrawn and names are pending"


def measure(site: Site, quick: bool) -> Section:
    """Round trips with no job, while jobs that bind no name report, and while jobs report that bind one.

    Parameters
    ----------
    site: one that runs `JOBS` local jobs at once
    """
    samples = 60 if quick else 500
    with kernel(PLAIN, site) as plain, kernel(GANGA, site) as ganga:
        ganga.execute(_SETUP)
        alternate(ganga, plain, trip, 20)
        quiet = _trips(ganga, plain, samples)
        with _reporting(ganga, site, ""):
            redrawn = _trips(ganga, plain, samples)
        with _reporting(ganga, site, "name = 1"):
            pending = _trips(ganga, plain, samples)
    nothing, meanwhile = "plain ipykernel, no job", "plain ipykernel, the same jobs run"
    figures = [
        Figure("round trip of `pass`, no job", "ms", quiet.ours, quiet.bare, nothing),
        Figure(_REDRAWN, "ms", redrawn.ours, quiet.bare, nothing, _AIM),
        Figure(_REDRAWN, "ms", redrawn.ours, redrawn.bare, meanwhile),
        Figure(_PENDING, "ms", pending.ours, quiet.bare, nothing, _AIM),
        Figure(_PENDING, "ms", pending.ours, pending.bare, meanwhile),
    ]
    notes = [
        f"{JOBS} jobs on Local, which share this machine's cores with the kernels, sleep and report "
        "ten times a second: they clear their output and print a line.",
        "While the jobs run, both kernels are measured in turn.",
    ]
    return Section("Ordinary cells beside panels that are redrawn", figures, notes)


def _trips(ganga: Kernel, plain: Kernel, rounds: int) -> Pair:
    def sample(one: Kernel) -> float:
        time.sleep(_PAUSE)
        one.catch_up()
        return trip(one)

    return alternate(ganga, plain, sample, rounds)


@contextmanager
def _reporting(ganga: Kernel, site: Site, first: str) -> Iterator[None]:
    """Jobs that report, each under its cell, until the block ends.

    Parameters
    ----------
    first: what their cells begin with
    """
    gate = site.root / f"gate-{time.monotonic_ns()}"
    code = first + _JOB.format(gate=str(gate))
    batch = {"tags": ["batch"], "batch": {"backend": "Local"}}
    cells = [ganga.send(code, batch) for _ in range(JOBS)]
    ganga.listen(lambda: all(len(cell.outputs) > 20 for cell in cells))
    try:
        yield
    finally:
        gate.touch()
        ganga.listen(lambda: all(done(cell) for cell in cells))
