"""``ganga-kernel doctor`` on real things: this environment, a pool, and a trial cell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Site, make_site, until
from tests.pool import Pool


@pytest.fixture(scope="module")
def site(pool: Pool) -> Iterator[Site]:
    with make_site() as found:
        found.environment.update(pool.environ)
        yield found


def doctor(site: Site, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ganga_kernel", "doctor", *arguments],
        env={**site.environment, **environment}, cwd=site.root, capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def test_all_is_well_and_a_cell_runs_in_the_pool(site: Site) -> None:
    done = doctor(site, "--submit", "HTCondor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    told = {one["area"]: "" for one in found}
    for one in found:
        told[one["area"]] += one["told"] + "\n"
    assert f"Python {'.'.join(map(str, sys.version_info[:3]))} ({sys.executable})" in told["ganga-kernel"]
    assert "starts this Python." in told["Jupyter"] and "jupyterlab" in told["Jupyter"]
    assert f"State: {site.root}" in told["Folders"]
    assert told["Ganga"].startswith("Ganga 8")
    for part in (
        "Bindings ",
        "answers in",
        " slots, ",
        "All slots share this machine's files",
        "Containers:",
    ):
        assert part in told["HTCondor"]
    assert told["Trial"].startswith("A batch cell ran on HTCondor: host ") and sys.executable in told["Trial"]


def test_what_does_not_work_is_told_with_a_remedy(site: Site, tmp_path: Path) -> None:
    config = tmp_path / "ganga_kernel_config.py"
    config.write_text("c.GangaKernel.backend = 'HTCondor'\nc.GangaKernel.state_dir = '/dev/null/x'\n")
    done = doctor(site, CONDOR_CONFIG="/nowhere", JUPYTER_CONFIG_PATH=str(tmp_path), JUPYTER_CONFIG_DIR="/")
    assert done.returncode == 1 and not done.stderr
    assert "  FAIL  State: /dev/null/x" in done.stdout
    assert "  FAIL  There is no HTCondor configuration on this machine" in done.stdout
    assert "        -> Set CONDOR_CONFIG to the configuration file" in done.stdout
    config.write_text("c.GangaKernel.bakend = 'HTCondor'\n")
    done = doctor(site, JUPYTER_CONFIG_PATH=str(tmp_path), JUPYTER_CONFIG_DIR="/")
    assert done.returncode == 1 and "GangaKernel.bakend, which doesn't exist" in done.stdout


def test_a_schedd_that_is_not_there(site: Site, tmp_path: Path) -> None:
    config = tmp_path / "condor_config"
    config.write_text("CONDOR_HOST = 127.0.0.1:1\nSCHEDD_ADDRESS_FILE = /nowhere\nUSE_SHARED_PORT = false\n")
    done = doctor(site, "--json", CONDOR_CONFIG=str(config))
    found = [one for one in json.loads(done.stdout) if one["area"] == "HTCondor"]
    assert done.returncode == 1
    failure = next(one for one in found if one["status"] == "failure")
    assert "can't be reached" in failure["told"] and "condor_q" in failure["remedy"]


def test_an_interrupt_ends_the_trial_and_its_job(site: Site, pool: Pool) -> None:
    site.configure(state_dir=str(site.state), options={"requirements": "false"})
    running = subprocess.Popen(
        [sys.executable, "-m", "ganga_kernel", "doctor", "--submit", "HTCondor"],
        env=site.environment, cwd=site.root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    queue = ("condor_q", "-allusers", "-af", "ClusterId")
    until(lambda: pool.run(*queue).strip())
    os.kill(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (130, "ganga-kernel doctor: Interrupted.\n")
    until(lambda: not pool.run(*queue).strip())
