"""What a job's backend says of its tasks: one interface, and a watcher for each kind of backend.

A watcher only observes. What an observation means for a task is decided in `progress`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Observation:
    """What a backend said of one task.

    Attributes
    ----------
    task: number of the task in its job
    state: "queued", "running", "held" or "ended"
    time: when it happened, unix seconds
    host: where it runs, as far as known
    exit_code: of an ended task; negative for a signal; None if it isn't known
    reason: the backend's own words on a hold or an end
    """

    task: int
    state: str
    time: float
    host: str = ""
    exit_code: int | None = None
    reason: str = ""


class Watcher(ABC):
    """Observes one job on its backend. Made by the broker when it watches a job."""

    @abstractmethod
    def poll(self) -> list[Observation]:
        """What is new. The broker calls it many times a second: it must not wait."""

    @property
    def offset(self) -> int:
        """How far the watcher has read, to be stored and resumed from after a restart."""
        return 0


class LocalWatcher(Watcher):
    """Ganga's Local: its wrapper's process, and the status file that the wrapper writes.

    Ganga itself never notices a wrapper that was killed.

    Parameters
    ----------
    native: what `local_native` returned at submission
    """

    def __init__(self, native: str) -> None:
        self._native = json.loads(native)
        self._status = Path(self._native["status"])
        self._ended = False

    def poll(self) -> list[Observation]:
        """See `Watcher.poll`."""
        if self._ended:
            return []
        alive = _alive(self._native)  # before the file is read, or an end could slip in between
        code = self._exit_code()
        if code is None and alive:
            return []
        self._ended = True
        reason = "" if code is not None else "Its process on this host was killed."
        return [Observation(0, "ended", time.time(), exit_code=code, reason=reason)]

    def _exit_code(self) -> int | None:
        try:
            text = self._status.read_text()
        except FileNotFoundError:
            return None
        found = re.search(r"^EXITCODE: (-?\d+)", text, re.MULTILINE)
        return int(found[1]) if found else None


def local_native(backend: Any, output: Path) -> str:
    """What identifies a job on Ganga's Local, as text for the store."""
    pid = backend.wrapper_pid[-1] if isinstance(backend.wrapper_pid, list) else backend.wrapper_pid
    return local_process(pid, output / "__jobstatus__")


def local_process(pid: int, status: Path) -> str:
    """What identifies a process of this host and the file where its exit code will be."""
    return json.dumps({"pid": pid, "born": _born(pid), "status": str(status)})


def kill_process(native: str) -> None:
    """Kill the process that `local_process` identified, if it still runs."""
    found = json.loads(native)
    if _alive(found):
        os.kill(found["pid"], signal.SIGKILL)


def _alive(native: dict[str, Any]) -> bool:
    return bool(native["born"]) and bool(_born(native["pid"]) == native["born"])


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
    """

    def __init__(self, folder: Path, offset: int) -> None:
        from ..condor.eventlog import EventLog

        self._log = EventLog(folder / "condor.log", offset)
        self._latest: dict[tuple[int, int], Any] = {}

    def poll(self) -> list[Observation]:
        """See `Watcher.poll`."""
        from ..condor.eventlog import reduce

        seen = self._log.read()
        if not seen:
            return []
        before, self._latest = self._latest, reduce(seen, self._latest)
        return [
            observation
            for which, latest in self._latest.items()
            if latest != before.get(which) and (observation := _from_condor(latest))
        ]

    @property
    def offset(self) -> int:
        """See `Watcher.offset`."""
        return int(self._log.offset)


#: HTCondor's word -> ours.
_CONDOR = {
    "queued": "queued", "evicted": "queued", "released": "queued", "running": "running",
    "disconnected": "running", "held": "held", "completed": "ended", "removed": "ended",
}  # fmt: skip


def _from_condor(seen: Any) -> Observation | None:
    state = _CONDOR.get(seen.state)
    if state is None:
        return None
    code = -seen.exit_signal if seen.exit_signal else seen.exit_code
    if code is not None and code > 128:  # the launcher is a shell: it reports a signal so
        code = 128 - code
    return Observation(
        seen.proc, state, seen.time, host=seen.host or "", exit_code=code, reason=seen.reason or ""
    )


class GangaWatcher(Watcher):
    """Any other backend: what Ganga's own monitoring says of it."""

    def __init__(self) -> None:
        self._seen: list[Observation] = []

    def tell(self, status: str) -> None:
        """Ganga changed the job's status."""
        state = {"submitted": "queued", "running": "running"}.get(status)
        if status in ("completed", "failed", "killed"):
            state = "ended"
        if state:
            self._seen.append(Observation(0, state, time.time()))

    def poll(self) -> list[Observation]:
        """See `Watcher.poll`."""
        seen, self._seen = self._seen, []
        return seen
