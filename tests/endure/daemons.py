"""A map and a cell that print while HTCondor's daemons are killed, and what has come of them.

Each task prints numbered lines until a gate opens, so that it is in the middle of its output whatever is
killed, and then says how many there were: a line that is lost or doubled shows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ganga_kernel.broker.store import Store
from tests.harness import Cell, Gate, Kernel, make_site, until
from tests.pool import Pool, own_pool

#: Seconds that all tasks may take to start, or to end, for each of them.
_PATIENCE = 5.0
_PRINTS = (
    "import os, time\n"
    "n = 0\n"
    "while not os.path.exists({gate!r}):\n"
    "    print({name}, n, flush=True)\n"
    "    n += 1\n"
    "    time.sleep({pause})\n"
    "print('end of', {name}, 'after', n)\n"
)


@dataclass
class Endurance:
    """Tasks of one map, and a cell besides, in a pool of their own.

    Attributes
    ----------
    tasks: how many the map has
    rng: chooses whom it hits
    """

    pool: Pool
    kernel: Kernel
    tasks: int
    gate: Gate
    mapped: Cell
    single: Cell
    rng: random.Random

    def until_all_run(self) -> None:
        """Wait until each task has a process that supervises it here and one on its machine."""
        patience = 60 + _PATIENCE * self.tasks
        wanted = self.tasks + 1
        self.kernel.listen(
            lambda: (
                all(len(self.pool.processes(daemon)) == wanted for daemon in ("shadow", "starter"))
                and len(self._running()) == wanted
            ),
            patience,
        )

    def _running(self) -> list[str]:
        said = self.pool.run("condor_q", "-constraint", "JobStatus == 2", "-af:j", "JobStatus")
        return [line.split()[0] for line in said.splitlines()]

    def kill(self, daemon: str, share: float = 1.0) -> None:
        """SIGKILL a share of the processes of a daemon, and wait until the pool answers again."""
        hit: list[psutil.Process] = []
        until(lambda: hit.extend(self._hit(daemon, share)) or hit)
        psutil.wait_procs(hit, timeout=60)
        if daemon in ("schedd", "startd"):
            until(lambda: self.pool.processes(daemon))
            until(self._answers)

    def _hit(self, daemon: str, share: float) -> Iterator[psutil.Process]:
        """Kill a share of the processes of a daemon, those aside that end by themselves just now."""
        found = self.pool.processes(daemon)
        for process in self.rng.sample(found, min(len(found), max(1, round(share * len(found))))):
            with suppress(psutil.NoSuchProcess):
                process.kill()
                yield process

    def _answers(self) -> bool:
        try:
            self.pool.run("condor_q", "-totals")
        except AssertionError:  # it is not there yet
            return False
        return True

    def vacate(self, share: float) -> None:
        """Send a share of the tasks back to the queue."""
        running = self._running()
        self.pool.run("condor_vacate_job", *self.rng.sample(running, max(1, round(share * len(running)))))

    def finish(self) -> None:
        """Open the gate, and wait until all has ended."""
        self.gate.open()
        ended = (": done (", ": failed (", ": lost (")
        for cell in (self.mapped, self.single):
            self.kernel.listen(
                lambda cell=cell: any(state in cell.panel for state in ended), 60 + _PATIENCE * self.tasks
            )

    def mistakes(self) -> list[str]:
        """What was lost or doubled, after the end."""
        wrong = []
        for cell in (self.mapped, self.single):
            if ": done (" not in cell.panel:
                wrong.append(cell.panel)
        made = self.kernel.run("print(made)")
        if made.text.strip() != str([[x] for x in range(self.tasks)]):
            wrong.append(f"results: {made.text or made.error}\n{self.mapped.panel}")
        if self.kernel.run("alone").value != "'alone'":
            wrong.append("the cell's name did not come back")
        wrong += _mistakes_of("alone", _shown(self.single))
        until(
            lambda: not self.pool.run("condor_q", "-af:j", "JobStatus").strip()
        )  # a moment after the results
        printed = _printed(self.kernel, self.mapped.job)
        for x in range(self.tasks):
            wrong += _mistakes_of(str(x), printed.get(x, ""))
        return wrong


@contextmanager
def endurance(folder: Path, tasks: int, pause: float, lease: int) -> Iterator[Endurance]:
    """Start a pool, a kernel and the tasks.

    Parameters
    ----------
    folder: for the pool's state
    pause: seconds between two lines of a task
    lease: seconds for which HTCondor waits for a machine that is away: for all of it when a startd was killed
    """
    path = folder / "gate"
    options = {"memory": "100MB", "set": {"job_lease_duration": str(lease)}}
    gate = Gate(path)
    with (
        own_pool(folder, slots=tasks + 1) as pool,
        make_site(backend="HTCondor", options=options, idle_pause=0.0) as site,
    ):
        site.environment.update(pool.environ)
        kernel = Kernel(site)
        try:
            wait = {"gate": str(path), "pause": pause}
            single = kernel.run("%%batch\n" + _PRINTS.format(name="'alone'", **wait) + "alone = 'alone'")
            mapped = kernel.run(
                f"%%batch --chunk 1 --map x=range({tasks})\n"
                + _PRINTS.format(name="x", **wait) + "made = [x]"
            )  # fmt: skip
            assert mapped.job and single.job, mapped.error + single.error
            yield Endurance(pool, kernel, tasks, gate, mapped, single, random.Random(tasks))
        finally:
            gate.open()
            if kernel.manager.is_alive():
                kernel.close()


def _shown(cell: Cell) -> str:
    """What a cell shows, after the last time that it was cleared."""
    shown = ""
    for message in cell.messages:
        if message["msg_type"] == "clear_output":
            shown = ""
        elif message["msg_type"] == "stream":
            shown += message["content"]["text"]
    return shown


def _printed(kernel: Kernel, job: int) -> dict[int, str]:
    """What the items of a map printed, from the job store; ends the kernel, and the broker, whose that is."""
    kernel.close()
    broker = kernel.site.broker()
    assert broker is not None
    broker.terminate()
    broker.wait(60)
    store = Store(kernel.site.state / "jobs.sqlite")
    found = dict(store.item_outputs(job, store.count_item_outputs(job)))
    store.close()
    return {item: "".join(output["content"]["text"] for output in outputs) for item, outputs in found.items()}


def _mistakes_of(name: str, printed: str) -> list[str]:
    """What is wrong with a task's lines."""
    lines = printed.splitlines()
    wanted: list[Any] = [f"{name} {n}" for n in range(len(lines) - 1)]
    wanted.append(f"end of {name} after {len(lines) - 1}")
    if lines == wanted:
        return []
    odd = next((i for i, (one, other) in enumerate(zip(lines, wanted, strict=False)) if one != other), 0)
    return [f"{name}: {len(lines)} lines, wrong from line {odd}: {lines[max(0, odd - 2) : odd + 3]}"]
