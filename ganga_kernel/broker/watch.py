"""What a job's backend says of its tasks: one interface, and a watcher for each kind of backend.

A watcher only observes. What an observation means for a task is decided in `progress`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from .clusters import Clusters, of_tasks, task_of

if TYPE_CHECKING:
    from ..condor.spooled import Follower


@dataclass(frozen=True)
class Observation:
    """What a backend said of one task.

    Attributes
    ----------
    task: number of the task in its job
    state: "queued", "running", "held" or "ended"
    time: when it happened, unix seconds
    host: where it runs, as far as known
    exit_code: of a task that ended, or that ended and is queued again; negative for a signal; None if unknown
    reason: why it is held, waits again, can't be reached or has ended; HTCondor's own words at the end
    for_memory: of a held task: it used more memory than it was given
    """

    task: int
    state: str
    time: float
    host: str = ""
    exit_code: int | None = None
    reason: str = ""
    for_memory: bool = False


class Watcher(ABC):
    """Observes one job on its backend. Made by the broker when it watches a job.

    Attributes
    ----------
    tells_of_starts: whether it tells that a task has begun, before the payload can
    """

    tells_of_starts = False

    @abstractmethod
    def poll(self) -> list[Observation]:
        """What is new. The broker calls it many times a second: it must not wait."""

    def soon(self) -> None:  # noqa: B027 (most see all at once)
        """Something was done with the job: one that asks its backend now and then asks soon."""

    @property
    def offset(self) -> int:
        """How far the watcher has read, to be stored and resumed from after a restart."""
        return 0


class LocalWatcher(Watcher):
    """Ganga's Local: its wrapper's process for each task, and the status file that the wrapper writes.

    Ganga itself never notices a wrapper that was killed.

    Parameters
    ----------
    native: what `local_native` or `local_processes` returned
    """

    def __init__(self, native: str) -> None:
        self._running: dict[int, dict[str, Any]] = dict(enumerate(json.loads(native)))

    def poll(self) -> list[Observation]:
        """See `Watcher.poll`."""
        seen = [one for task, native in self._running.items() if (one := self._look(task, native))]
        for one in seen:
            del self._running[one.task]
        return seen

    def _look(self, task: int, native: dict[str, Any]) -> Observation | None:
        alive = _alive(native)  # before the code is read, or an end could slip in between
        code = _said(native, "EXITCODE")
        if code is None and alive:
            return None
        reason = "" if code is not None else "Its process on this host was killed."
        return Observation(task, "ended", time.time(), exit_code=code, reason=reason)


def _said(native: dict[str, Any], what: str) -> int | None:
    """A number that a wrapper has written to its status file."""
    try:
        text = Path(native["status"]).read_text()
    except FileNotFoundError:
        return None
    found = re.search(rf"^{what}: (-?\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None


def local_native(backend: Any, outputs: Iterable[Path]) -> str:
    """What identifies a job on Ganga's Local, as text for the store.

    Of a job with subjobs Ganga knows one process at first, which starts a wrapper for each: these are known
    by their scripts, and tell their numbers in their status files.

    Parameters
    ----------
    backend: the job's backend object
    outputs: for each task the folder of Ganga's output
    """
    pid = backend.wrapper_pid[-1] if isinstance(backend.wrapper_pid, list) else backend.wrapper_pid
    outputs = list(outputs)
    tasks = json.loads(local_processes((pid, output / "__jobstatus__") for output in outputs))
    if len(tasks) > 1:
        for task, output in zip(tasks, outputs, strict=True):
            task["script"] = str(output.parent / "input" / "__jobscript__")
    return json.dumps(tasks)


def local_processes(found: Iterable[tuple[int, Path]]) -> str:
    """What identifies processes of this host, and the files where their exit codes will be."""
    return json.dumps([{"pid": pid, "born": _born(pid), "status": str(status)} for pid, status in found])


def kill_processes(native: str, only: int | None = None) -> int:
    """Kill those of the tasks' processes that still run, or only that of one task; returns how many."""
    tasks = json.loads(native) if only is None else [json.loads(native)[only]]
    killed = 0
    for task in tasks:
        if "script" not in task and _alive(task):
            os.kill(task["pid"], signal.SIGKILL)
            killed += 1
    scripts = {task["script"] for task in tasks if "script" in task}
    for process in psutil.process_iter(["cmdline"]) if scripts else ():
        if scripts.intersection(process.info["cmdline"] or ()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # Ganga makes each the leader of a group
                killed += 1
    return killed


def _alive(native: dict[str, Any]) -> bool:
    """Whether a task's wrapper runs, or will be started."""
    wrapper = _said(native, "WRAPPER") if "script" in native else None
    if wrapper is not None:
        return native["script"] in _command(wrapper)
    return bool(native["born"]) and bool(_born(native["pid"]) == native["born"])


def _command(pid: int) -> list[str]:
    """The command line of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def _born(pid: int) -> str:
    """When a process was started: the boot, and clock ticks since then (proc(5)). Empty if it is gone.

    Not the time of day, which is computed from the clock of now and moves when that is set.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return "" if fields[0] in "ZX" else f"{boot}:{fields[19]}"


class CondorWatcher(Watcher):
    """HTCondor: the event log of the job's cluster.

    The log is folded to the latest state of each proc: its events can come late, and out of order.

    Parameters
    ----------
    folder: the job's
    offset: how far the log was read
    number: our number of the job, for what is said about it

    Attributes
    ----------
    clusters: of the job; what the log says of another one counts once `grow` was told of it
    """

    tells_of_starts = True

    def __init__(self, folder: Path, offset: int, number: int, clusters: Clusters) -> None:
        from ..condor.description import LOG
        from ..condor.eventlog import EventLog

        self._number = number
        self.grow(clusters)
        self._log = EventLog(folder / LOG, offset)
        self._latest: dict[tuple[int, int], Any] = {}
        self._early: list[Any] = []
        self._whole_until = offset

    def grow(self, clusters: Clusters) -> None:
        """The job has these clusters now."""
        self.clusters = clusters

    def poll(self) -> list[Observation]:
        """See `Watcher.poll`."""
        from ..condor.eventlog import reduce

        before_it = self._log.offset
        read = [*self._early, *self._log.read()]
        if not read:
            return []
        known = {cluster for cluster, _, _ in self.clusters}
        seen = [one for one in read if one.cluster in known]
        self._whole_until = self._whole_until if self._early else before_it
        self._early = [one for one in read if one.cluster not in known]
        touched = dict.fromkeys((one.cluster, one.proc) for one in seen)
        before = {which: self._latest[which] for which in touched if which in self._latest}
        after = reduce(seen, before)
        self._latest.update(after)
        return [
            observation
            for which in touched
            if after[which] != before.get(which)
            for one in self._of_procs(after[which])
            if (observation := self._observed(one))
        ]

    def _of_procs(self, seen: Any) -> Iterable[Any]:
        """What is seen of a proc, or of each that its cluster's removal kept out of the queue."""
        from ..condor.eventlog import WHOLE, latest_of

        if seen.proc != WHOLE:
            return [seen]
        made = len(of_tasks(self.clusters, seen.cluster))
        never = range(made if seen.made is None else seen.made, made)
        return [latest_of({(seen.cluster, WHOLE): seen}, seen.cluster, proc) for proc in never]

    def _observed(self, seen: Any) -> Observation | None:
        task = task_of(self.clusters, seen.cluster, seen.proc)
        return None if task is None else _from_condor(seen, task, self._number)

    @property
    def offset(self) -> int:
        """See `Watcher.offset`. What can't count yet is read once more after a restart."""
        return self._whole_until if self._early else int(self._log.offset)


class SpoolWatcher(Watcher):
    """HTCondor, where the job's files are spooled: what its schedd says.

    Parameters
    ----------
    job: its row in the store, with its tasks
    follower: of the schedd's jobs
    """

    tells_of_starts = True

    def __init__(self, job: dict[str, Any], follower: Follower) -> None:
        self._number, self._follower = job["id"], follower
        self._folder, self._since = Path(job["folder"]), job["created"]
        self._over = {task["task"] for task in job["tasks"] if task["backend_ended"]}
        self._seen: Mapping[tuple[int, int], Any] = {}
        self.grow(job["clusters"])

    def grow(self, clusters: Clusters) -> None:
        """The job has these clusters now."""
        self._clusters = clusters
        for cluster, first, end in clusters:
            procs = [task - first for task in range(first, end) if task not in self._over]
            self._follower.follow(cluster, procs, self._folder, self._since)

    def soon(self) -> None:
        """See `Watcher.soon`."""
        self._follower.soon()

    def poll(self) -> list[Observation]:
        """See `Watcher.poll`."""
        before, self._seen = self._seen, self._follower.state
        if before is self._seen:
            return []
        return [
            observation
            for cluster, first, end in self._clusters
            for task in range(first, end)
            if (seen := self._seen.get((cluster, task - first))) != before.get((cluster, task - first))
            and (observation := _from_condor(seen, task, self._number))
        ]


#: HTCondor's word -> ours.
_CONDOR = {
    "queued": "queued", "evicted": "queued", "released": "queued", "running": "running",
    "disconnected": "running", "held": "held", "completed": "ended", "removed": "ended",
}  # fmt: skip


def _from_condor(seen: Any, task: int, number: int) -> Observation | None:
    from ..condor import holds, interruptions

    state = _CONDOR.get(seen.state)
    if state is None:
        return None
    code = -seen.exit_signal if seen.exit_signal else seen.exit_code
    if code is not None and code > 128:  # the launcher is a shell: it reports a signal so
        code = 128 - code
    reason = seen.reason or ""
    for_memory = state == "held" and holds.is_for_memory(seen.code, seen.subcode, reason)
    if state == "held":
        reason = holds.explain(seen.code, seen.subcode, reason, number)
    else:
        reason = interruptions.explain(seen.state, reason)
    return Observation(
        task,
        state,
        seen.time,
        host=seen.host or "",
        exit_code=code,
        reason=reason,
        for_memory=for_memory,
    )


class GangaWatcher(Watcher):
    """Any other backend: what Ganga's own monitoring says of it."""

    def __init__(self) -> None:
        self._seen: list[Observation] = []

    def tell(self, task: int, status: str) -> None:
        """Ganga changed a task's status."""
        state = {"submitted": "queued", "running": "running"}.get(status)
        if status in ("completed", "failed", "killed"):
            state = "ended"
        if state:
            self._seen.append(Observation(task, state, time.time()))

    def poll(self) -> list[Observation]:
        """See `Watcher.poll`."""
        seen, self._seen = self._seen, []
        return seen
