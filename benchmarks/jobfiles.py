"""What a job leaves in its folder while it runs: HTCondor's event log, the payload's events, the result."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

#: Seconds between two looks; all that is seen is late by half of it on average.
TICK = 0.002
#: Seconds that anything may take.
_PATIENCE = 120.0

_SUBMIT = re.compile(rb"^000 \(.*?^\.\.\.$", re.MULTILINE | re.DOTALL)
_EXECUTE = re.compile(rb"^001 \(.*?^\.\.\.$", re.MULTILINE | re.DOTALL)
_TERMINATED = re.compile(rb"^005 \(.*?^\.\.\.$", re.MULTILINE | re.DOTALL)
_ENDED_OTHERWISE = re.compile(rb"^(009|012) \(", re.MULTILINE)


class JobFiles:
    """Watches a job's folder. `look` is to be called every `TICK`; times are unix seconds, 0 for not yet.

    Attributes
    ----------
    folder: the job's
    submitted, executing, terminated: when SUBMIT, EXECUTE and JOB_TERMINATED were seen in HTCondor's
        event log
    ended: when the payload had run its cell, as it says itself in its last event
    streamed: when that event was seen in the streamed file
    arrived: when the result was seen as a whole
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sizes: dict[str, int] = {}
        self._size = -1
        self.submitted = self.executing = self.terminated = 0.0
        self.ended = self.streamed = self.arrived = 0.0

    def look(self) -> None:
        """See what is new.

        Raises
        ------
        RuntimeError: HTCondor holds the job, or has removed it.
        """
        if not self.terminated and (log := self._grown("condor.log")):
            self._look_at_log(log)
        if not self.ended and (events := self._grown("0.events")):
            self._look_at_events(events)
        if self.ended and not self.arrived and self._bytes("0.result") == self._size:
            self.arrived = time.time()

    def _look_at_log(self, log: bytes) -> None:
        now = time.time()
        if _SUBMIT.search(log):
            self.submitted = self.submitted or now
        if _EXECUTE.search(log):
            self.executing = self.executing or now
        if _TERMINATED.search(log):
            self.terminated = now
        elif _ENDED_OTHERWISE.search(log):
            raise RuntimeError(f"HTCondor didn't run the job:\n{log.decode(errors='replace')}")

    def _look_at_events(self, events: bytes) -> None:
        last = events[: events.rfind(b"\n")].rpartition(b"\n")[2]
        event = json.loads(last) if last else {}
        if event.get("event") == "end":
            self.ended, self.streamed = float(event["time"]), time.time()
            self._size = event["result"]["size"] if event["result"] else 0

    def _grown(self, name: str) -> bytes:
        """The file's content if it has grown since the last call, else nothing."""
        size = self._bytes(name)
        if size <= self._sizes.get(name, 0):
            return b""
        self._sizes[name] = size
        return (self.folder / name).read_bytes()

    def _bytes(self, name: str) -> int:
        try:
            return (self.folder / name).stat().st_size
        except FileNotFoundError:
            return -1


def watch(jobs: Iterable[JobFiles], until: Callable[[], object]) -> None:
    """Look at jobs' files until a condition holds."""
    deadline = time.monotonic() + _PATIENCE
    while not until():
        if time.monotonic() > deadline:
            raise TimeoutError("The jobs didn't come to it.")
        time.sleep(TICK)
        for job in jobs:
            job.look()
