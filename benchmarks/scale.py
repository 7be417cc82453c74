"""A map of ten thousand tasks, beside bare htcondor2 and beside Ganga's own subjobs.

Tasks that are to stay in the queue require what no machine has; those that are to run wait for a file.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from ganga_kernel.panel import job_of

from .bare import BareCondor
from .batch import done, names, panel_state
from .client import GANGA, PLAIN, Cell, Kernel, kernel, megabytes
from .figures import Figure, Section
from .ordinary import Pair, alternate, trip
from .site import Site

#: Tasks of the large map, and of the one beside Ganga's subjobs.
TASKS, SUBJOBS = 10_000, 1_000
#: Tasks that run at once: as many as the memory of a small machine has room for.
SLOTS = 250
#: Seconds for which the broker is watched while tasks run.
_WATCHED = 30.0
#: Seconds between two looks at a job's log, and that a job may take to come into the queue, or to start.
_TICK, _PATIENCE = 0.005, 900.0
_NOWHERE = "--requirements false"
_RUNNING = "import os, time\nwhile not os.path.exists({gate!r}):\n    time.sleep(1)\nsquare = i * i"
_SUBJOBS = """
import sys, time
import ganga.ganga, ganga
job = ganga.Job(
    application=ganga.Executable(exe="/bin/true"),
    backend=ganga.Local(),
    splitter=ganga.ArgSplitter(args=[[str(i)] for i in range(int(sys.argv[1]))]),
)
begun = time.time()
job.submit()
print("TOOK", time.time() - begun, flush=True)
"""


@dataclass(frozen=True)
class Queued:
    """A map that is in the queue, and when its request was sent and it was there; unix seconds."""

    cell: Cell
    sent: float
    there: float


def queue(late: Site, at_once: Site, quick: bool) -> Section:
    """From the request to the queue, memory of the broker, and bytes of the spool.

    Parameters
    ----------
    late, at_once: sites with and without late materialization
    """
    rounds = 1 if quick else 3
    figures = []
    for site, how, event in ((at_once, "all at once", "000"), (late, "late materialization", "035")):
        count = TASKS if site is at_once else 1
        with kernel(GANGA, site) as one:
            _kill(one, _queue(one, site, 10, "000", 10))
            broker = _broker(site)
            before = megabytes(broker, "rss")
            ours, bare, after = [], [], []
            for _ in range(rounds):
                queued = _queue(one, site, TASKS, event, count)
                ours.append(queued.there - queued.sent)
                time.sleep(3)
                after.append(megabytes(broker, "rss") - before)
                _kill(one, queued)
                with closing(BareCondor(site, {} if site is at_once else {"max_idle": "1000"})) as submitter:
                    bare.append(submitter.queue(_logs(event, count)))
            by = "ratio" if count > 1 else "difference"
            figures += [
                Figure(f"{TASKS:,} tasks, {how}: request to the queue", "s", ours, bare,
                       "Schedd.submit with itemdata, to the same event", "1.5 x, 3 s", by),
                Figure(f"{TASKS:,} tasks, {how}: more memory of the broker, RSS", "MB", after, aim="150 MB"),
            ]  # fmt: skip
    with kernel(GANGA, late) as one:
        queued = _queue(one, late, SUBJOBS, "000", SUBJOBS)
        _kill(one, queued)
        subjobs = [_ganga_subjobs(late, SUBJOBS)]
        figures.append(
            Figure(f"{SUBJOBS:,} tasks: request to the queue", "s", [queued.there - queued.sent], subjobs,
                   f"Ganga's submit of {SUBJOBS:,} subjobs (ArgSplitter, Local)")
        )  # fmt: skip
        figures += [
            Figure(
                f"spool of a map of {tasks:,} tasks, 1 MB of namespace", "KB", [_spooled(one, late, tasks)]
            )
            for tasks in (10, SUBJOBS, TASKS)
        ]
    notes = [
        "All at once: until the last task's SUBMIT is in the event log. Late: until the cluster is in the "
        "queue, for the bare submission with the same max_idle.",
        "The bare submission takes the description and items that Ganga made, in a process of its own.",
    ]
    return Section("A large map, to the queue", figures, notes)


def run(site: Site, quick: bool) -> Section:
    """What a map costs while its tasks run: broker, panel and ordinary cells; then all results come back."""
    samples = 60 if quick else 300
    with kernel(PLAIN, site) as plain, kernel(GANGA, site) as ganga:
        alternate(ganga, plain, trip, 20)
        quiet = _trips(ganga, plain, samples)
        with _running(ganga, site) as cell:
            broker = _broker(site)
            busy = _share(broker, _WATCHED)
            beside = _trips(ganga, plain, samples)
        ganga.listen(lambda: done(cell), 1.0)
        value = ganga.send("sum(square)")
        ganga.listen(lambda: value.answered)
        if not any(str(sum(i * i for i in range(SLOTS))) in str(message) for _, message in value.outputs):
            raise RuntimeError("The results aren't what they should be.")
    figures = [
        Figure(f"broker while {SLOTS} tasks run, of a core", "%", [100 * busy], aim="5 %"),
        Figure("updates of the panel, in the second with the most", "a second", [_busiest(cell)],
               aim="4 a second"),
        Figure("round trip of `pass`, no job", "ms", quiet.ours, quiet.bare, "plain ipykernel, no job"),
        Figure(f"round trip of `pass` while {SLOTS} tasks run", "ms", beside.ours, beside.bare,
               "plain ipykernel, the same tasks run"),
    ]  # fmt: skip
    notes = [
        f"{SLOTS} tasks, each a real payload in a slot of its own: more don't fit this machine. "
        "They wait for a file and look for it once a second."
    ]
    return Section("A large map while it runs", figures, notes)


def _trips(ganga: Kernel, plain: Kernel, rounds: int) -> Pair:
    def sample(one: Kernel) -> float:
        time.sleep(0.02)
        one.catch_up()
        return trip(one)

    return alternate(ganga, plain, sample, rounds)


def _send(one: Kernel, site: Site, items: str, options: str, code: str) -> tuple[Cell, Callable[[], Path]]:
    """Send a map; with it, how to find its folder once there is one."""
    one.catch_up()
    known = names(site.jobs)
    cell = one.send(f"%%batch --backend HTCondor --map i={items} --chunk 1 {options}\n{code}")

    def folder() -> Path:
        one.listen(lambda: cell.answered or names(site.jobs) - known, _TICK)
        new = sorted(names(site.jobs) - known)
        if not new:
            raise RuntimeError(f"The map wasn't submitted: {cell.reply}")
        return site.jobs / new[0]

    return cell, folder


def _queue(one: Kernel, site: Site, tasks: int, event: str, count: int) -> Queued:
    cell, folder = _send(one, site, f"range({tasks})", _NOWHERE, "square = i * i")
    return Queued(cell, cell.sent, _logged(folder(), event, count))


def _logs(event: str, count: int) -> Callable[[Path], float]:
    return lambda folder: _logged(folder, event, count)


def _logged(folder: Path, event: str, count: int) -> float:
    """When so many events of a kind were in the log of a folder's job, unix seconds."""
    log = folder / "condor.log"
    head, found, offset = f"{event} (".encode(), 0, 0
    deadline = time.time() + _PATIENCE
    while time.time() < deadline:
        if log.exists():
            with log.open("rb") as file:
                file.seek(offset)
                block = file.read()
            whole = block[: block.rfind(b"\n") + 1]
            offset += len(whole)
            found += sum(line.startswith(head) for line in whole.splitlines())
        if found >= count:
            return time.time()
        time.sleep(_TICK)
    raise TimeoutError(f"{log}: {found} of {count} events {event}")


def _kill(one: Kernel, queued: Queued) -> None:
    """Kill a map, and wait until it has ended."""

    def panels() -> list[str]:
        return [state for _, message in queued.cell.outputs if (state := panel_state(message))]

    one.listen(lambda: queued.cell.answered and panels())
    contents = [message["content"] for _, message in queued.cell.outputs]
    [number] = {job for content in contents if (job := job_of(content.get("metadata", {})))}
    one.execute(f"%kill {number}")
    one.listen(lambda: "killed" in panels())


def _ganga_subjobs(site: Site, count: int) -> float:
    """Seconds that Ganga takes to submit a job with subjobs, in a session of its own."""
    home = site.root / "ganga"
    home.mkdir()
    said = subprocess.run(
        [sys.executable, "-c", _SUBJOBS, str(count)], env={**site.environment, "HOME": str(home)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, start_new_session=True,
    ).stdout  # fmt: skip
    return float(next(line for line in said.splitlines() if line.startswith("TOOK")).split()[1])


def _spooled(one: Kernel, site: Site, tasks: int) -> float:
    """KB that a map adds to the spool when it is in the queue."""
    one.execute("large = __import__('random').randbytes(1_000_000)")
    before = _bytes(site.state / "spool")
    own = f"range({tasks}, {2 * tasks})"  # items of which no other map here has written a file
    cell, folder = _send(one, site, own, _NOWHERE, "size = len(large) + i")
    queued = Queued(cell, cell.sent, _logged(folder(), "000", 1))
    spooled = (_bytes(site.state / "spool") - before) / 1000
    _kill(one, queued)
    return spooled


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".log")


@contextmanager
def _running(one: Kernel, site: Site) -> Iterator[Cell]:
    """A map all of whose tasks run, until the block ends."""
    gate = site.root / "gate"
    cell, folder = _send(one, site, f"range({SLOTS})", "", _RUNNING.format(gate=str(gate)))
    try:
        _logged(folder(), "001", SLOTS)
        time.sleep(10)  # the last ones load their modules
        yield cell
    finally:
        gate.touch()


def _broker(site: Site) -> psutil.Process:
    broker = site.broker()
    if broker is None:
        raise RuntimeError("There is no broker.")
    return broker


def _busiest(cell: Cell) -> int:
    """The most updates of a panel that were sent within a second."""
    sent = [
        m["header"]["date"].timestamp() for _, m in cell.outputs if m["msg_type"] == "update_display_data"
    ]
    return max(sum(begin <= when < begin + 1 for when in sent) for begin in sent)


def _share(process: psutil.Process, seconds: float) -> float:
    """The part of a core that a process uses."""
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / seconds
