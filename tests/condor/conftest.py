"""What the tests of the HTCondor backend share; the pool itself is in tests/pool.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ganga_kernel.condor.description import JobSpec, Task, describe
from ganga_kernel.condor.eventlog import FINAL, EventLog, Observation, reduce
from ganga_kernel.condor.schedd import Schedd
from tests.pool import Pool


class Cluster:
    """A submitted cluster and its event log."""

    def __init__(self, schedd: Schedd, number: int, folder: Path) -> None:
        self.schedd = schedd
        self.number = number
        self.folder = folder
        self.log = EventLog(folder / "condor.log")
        self.seen: list[Observation] = []

    @property
    def states(self) -> dict[int, Observation]:
        """The latest of each proc."""
        self.seen += self.log.read()
        latest = reduce(self.seen)
        return {proc: seen for (cluster, proc), seen in latest.items() if cluster == self.number}

    def wait(self, until: Callable[[dict[int, Observation]], bool], seconds: float = 60) -> None:
        """Poll until that holds of the states; fails with what was seen otherwise."""
        end = time.monotonic() + seconds
        while not until(self.states):
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s; last seen: {self.seen[-5:]}")
            time.sleep(0.05)

    def wait_for(self, state: str, proc: int = 0, seconds: float = 60) -> Observation:
        """Poll until the proc is in that state."""
        self.wait(lambda states: proc in states and states[proc].state == state, seconds)
        return self.states[proc]

    def finish(self) -> dict[int, Observation]:
        """Wait until every proc has ended."""
        self.wait(lambda s: bool(s) and all(seen.state in FINAL for seen in s.values()))
        return self.states


@pytest.fixture
def submit(in_pool: Pool, tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """A function that submits a job by fields of JobSpec; what still runs is removed at the end.

    Its `commands` are submit commands, also such as no JobSpec has.
    """
    clusters: list[Cluster] = []

    def submit(
        executable: str = "/bin/sh",
        tasks: list[Task] | None = None,
        commands: dict[str, str] | None = None,
        max_idle: int = 0,
        **more: object,
    ) -> Cluster:
        folder = Path(str(more.pop("folder", tmp_path)))
        spec = JobSpec(executable=executable, folder=str(folder), **more)  # type: ignore[arg-type]
        schedd = Schedd()
        lines, items = describe(spec, tasks or [Task()])
        cluster = Cluster(schedd, schedd.submit({**lines, **(commands or {})}, items, max_idle), folder)
        clusters.append(cluster)
        return cluster

    yield submit
    for cluster in clusters:
        cluster.schedd.remove(str(cluster.number), "end of the test")
