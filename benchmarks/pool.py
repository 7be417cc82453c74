"""The HTCondor pool that is measured: this machine's own, or one of ours for the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: What makes a pool without root.
_SCRIPT = Path(__file__).resolve().parents[1] / "tests" / "htcondor-pool"
#: Minutes after which our pool ends by itself, should this process be killed.
_LIFETIME = 60
#: Slots of a pool of ours, unless many are needed.
_SLOTS = 16


class NoPool(Exception):
    """There is no pool to measure on; the text says why."""


@dataclass(frozen=True)
class Pool:
    """A running pool.

    Attributes
    ----------
    environment: the variables that lead to it
    whose: a word on what it is, for the report
    """

    environment: dict[str, str]
    whose: str


@contextmanager
def running_pool() -> Iterator[Pool]:
    """The machine's own pool if it answers, else one of ours, which ends with the block.

    Raises
    ------
    NoPool: there can't be one.
    """
    if shutil.which("condor_master") and _answers():
        yield Pool({}, "this machine's own pool")
        return
    with our_pool(_SLOTS) as pool:
        yield pool


@contextmanager
def our_pool(slots: int) -> Iterator[Pool]:
    """A pool of ours, which ends with the block.

    Raises
    ------
    NoPool: there can't be one.
    """
    state = Path(tempfile.mkdtemp(prefix="gk-bench-pool-"))
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    settings = {
        "HTC_ROOT": os.environ.get("HTC_ROOT") or os.path.join(cache, "ganga-kernel-tests"),
        "HTC_POOL": str(state / "pool"),
        "HTC_RUNFOR": str(_LIFETIME),
        "HTC_CPUS": str(slots),
    }
    try:
        for step in ("setup", "start"):
            _script(step, settings)
        yield Pool(_exports(_script("env", settings)), f"a pool of {slots} slots on this machine")
    finally:
        if (state / "pool").exists():
            _script("stop", settings)
        shutil.rmtree(state, ignore_errors=True)


def _script(step: str, settings: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            [str(_SCRIPT), step], env={**os.environ, **settings}, capture_output=True, text=True, timeout=180
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoPool(f"tests/htcondor-pool {step}: {error}") from error
    if done.returncode != 0:
        raise NoPool(f"tests/htcondor-pool {step}: {(done.stdout + done.stderr).strip()}")
    return done.stdout


def _exports(shell: str) -> dict[str, str]:
    """Names and values of ``export NAME=VALUE`` lines, with $PATH filled in."""
    pairs = (line.removeprefix("export ").partition("=") for line in shell.splitlines())
    return {name: value.replace("$PATH", os.environ.get("PATH", "")) for name, _, value in pairs}


def _answers() -> bool:
    try:
        return subprocess.run(["condor_q", "-totals"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
