"""The fixture `pool`: a real HTCondor pool for the tests, without root.

The schedd that this environment already reaches is used as it is. Otherwise ``tests/htcondor-pool``
downloads HTCondor's packages once, into a folder of the user's cache ($HTC_ROOT, or
~/.cache/ganga-kernel-tests), and starts a pool of our own for the session, with its state in a
temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.environments import CACHE, oldest_python
from tests.harness import Kernel, make_site

SCRIPT = Path(__file__).with_name("htcondor-pool")
# Minutes after which a pool ends by itself, so that a killed test run leaves none behind.
LIFETIME = 120


@dataclass(frozen=True)
class Pool:
    """A running pool.

    Parameters
    ----------
    environ:
        The environment variables that lead to it, CONDOR_CONFIG and PATH among them.
    script_environ:
        What ``tests/htcondor-pool`` needs to know to act on it; None if the pool isn't ours.
    """

    environ: dict[str, str]
    script_environ: dict[str, str] | None

    def run(self, *command: str) -> str:
        """Standard output of one of HTCondor's own commands, run in this pool."""
        found = shutil.which(command[0], path=self.environ.get("PATH", os.environ["PATH"]))
        assert found is not None, f"the pool has no command {command[0]}"
        done = subprocess.run(
            [found, *command[1:]],
            env={**os.environ, **self.environ},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def processes(self, daemon: str) -> list[psutil.Process]:
        """The processes of a daemon ("schedd", "shadow", ...) of a pool of our own."""
        assert self.script_environ is not None, "this pool isn't ours"
        master = psutil.Process(int((Path(self.script_environ["HTC_POOL"]) / "run/master.pid").read_text()))
        found = []
        for process in master.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() == f"condor_{daemon}" and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """A running HTCondor pool; the tests fail with a sentence if there can't be one."""
    if shutil.which("condor_master") and _answers(dict(os.environ)):
        names = ("CONDOR_CONFIG", "PATH")
        yield Pool({name: os.environ[name] for name in names if name in os.environ}, None)
        return
    with own_pool(tmp_path_factory.mktemp("htcondor")) as found:
        yield found


@dataclass(frozen=True)
class UnsharedPool:
    """A pool of two hosts, of a slot each, which share nothing with the notebook, nor a /tmp with each other.

    Attributes
    ----------
    pool: how it is reached
    hidden: a folder that they don't see
    python: an interpreter of the notebook's side that they don't see either
    """

    pool: Pool
    hidden: Path
    python: str


@pytest.fixture(scope="session")
def unshared_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UnsharedPool]:
    """A pool whose workers see neither the user's folders nor the project, nor its interpreters."""
    python = oldest_python()
    folder = Path(tempfile.mkdtemp(prefix="gk-unshared-"))
    mine = [folder, Path.home(), CACHE, SCRIPT.parents[1], Path(sys.prefix), *_library(python)]
    try:
        with own_pool(tmp_path_factory.mktemp("unshared"), 1, mine, hosts=("alpha", "beta")) as found:
            yield UnsharedPool(found, folder, python)
    finally:
        shutil.rmtree(folder)


@dataclass(frozen=True)
class SpoolingPool:
    """A pool with a schedd, remote@local, that sees nothing of the notebook's files, and nor do the workers.

    Attributes
    ----------
    pool: how it is reached
    hidden: the folder that they don't see
    """

    pool: Pool
    hidden: Path

    @contextlib.contextmanager
    def kernel(self) -> Iterator[Kernel]:
        """A kernel whose batch cells go to that schedd."""
        options = {"memory": "200MB", "schedd": "remote@local", "spool": True}
        with make_site(self.hidden, backend="HTCondor", options=options) as site:
            site.environment.update(self.pool.environ)
            running = Kernel(site)
            yield running
            running.close()


@pytest.fixture(scope="session")
def spooling_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpoolingPool]:
    """A pool of such a schedd."""
    folder = Path(tempfile.mkdtemp(prefix="gk-spooled-"))
    try:
        with own_pool(tmp_path_factory.mktemp("spooling"), 4, [folder], [folder]) as found:
            yield SpoolingPool(found, folder)
    finally:
        shutil.rmtree(folder)


def _library(python: str) -> list[Path]:
    """An interpreter and its standard library."""
    asked = "import os, sys, sysconfig; print(os.path.realpath(sys.executable), sysconfig.get_path('stdlib'))"
    done = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True)
    return [Path(word) for word in done.stdout.split()]


@contextlib.contextmanager
def own_pool(
    folder: Path,
    slots: int = 16,
    hidden: Iterable[Path] = (),
    remote: Iterable[Path] = (),
    hosts: Iterable[str] = (),
) -> Iterator[Pool]:
    """A pool of our own with its state in a folder, whatever else is in reach.

    Parameters
    ----------
    hidden: what its workers don't see
    remote: what a second schedd, remote@local, doesn't see; none is there if it sees all
    hosts: names of hosts with so many slots each; else there is one, this machine
    """
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    script_environ = {
        "HTC_ROOT": os.environ.get("HTC_ROOT") or os.path.join(cache, "ganga-kernel-tests"),
        "HTC_POOL": str(folder / "pool"),
        "HTC_RUNFOR": str(LIFETIME),
        "HTC_CPUS": str(slots),
        "HTC_HIDE": ":".join(map(str, hidden)),
        "HTC_REMOTE": ":".join(map(str, remote)),
        "HTC_HOSTS": ":".join(hosts),
    }
    try:
        for step in ("setup", "start"):
            _script(step, script_environ)
        environ = dict(_lines(_script("env", script_environ)))
        yield Pool(environ, script_environ)
    finally:
        if Path(script_environ["HTC_POOL"]).exists():
            _script("stop", script_environ)


@pytest.fixture
def in_pool(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> Pool:
    """The pool, with this process's environment leading to it for one test."""
    for name, value in pool.environ.items():
        monkeypatch.setenv(name, value)
    return pool


def _script(step: str, environ: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            [str(SCRIPT), step],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=150,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(_sentence(step, "it took more than 150 s"), pytrace=False)
    if done.returncode != 0:
        pytest.fail(_sentence(step, (done.stdout + done.stderr).strip()), pytrace=False)
    return done.stdout


def _sentence(step: str, why: str) -> str:
    return (
        f"These tests need an HTCondor pool, and tests/htcondor-pool {step} could not provide one: "
        f"{why}\nInstall HTCondor and start condor_master, or run this where Debian's packages can "
        "be downloaded."
    )


def _lines(shell: str) -> Iterator[tuple[str, str]]:
    """Names and values of ``export NAME=VALUE`` lines, with $PATH filled in."""
    for line in shell.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        yield name, value.replace("$PATH", os.environ.get("PATH", ""))


def _answers(environ: dict[str, str]) -> bool:
    done = subprocess.run(["condor_q", "-totals"], env=environ, capture_output=True, timeout=60, check=False)
    return done.returncode == 0
