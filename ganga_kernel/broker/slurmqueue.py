"""Slurm's queue, asked for all jobs of this user at once, and a watcher for each of ours.

How fast a job's output and end are seen doesn't depend on it: its payload tells them. So it is asked seldom:
soon after something was done with a job, then less and less often (Slurm advises against loops of squeue).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import time

from ..errors import BackendError
from . import slurm
from .watch import Observation, Watcher

log = logging.getLogger(__name__)

#: Seconds between two looks whether it is time to ask.
LOOK = 0.5
#: Seconds between two questions: at first, and at most; and by how much they grow.
_SOON, _LATE, _GROWTH = 1.0, 20.0, 1.5
#: Seconds in which the answer must be there.
_LIMIT = 30.0


class SlurmQueue:
    """What ``squeue`` said last.

    Attributes
    ----------
    rows: by job id
    number: of the question that this answers
    begun: the number of the latest question
    time: when it was answered, in Unix seconds
    """

    def __init__(self) -> None:
        self.rows: dict[str, slurm.Row] = {}
        self.number = self.begun = 0
        self.time = 0.0
        self._pause, self._due = _SOON, 0.0

    def soon(self) -> None:
        """Something was done with a job."""
        self._pause, self._due = _SOON, time.monotonic() + _SOON

    async def look(self) -> None:
        """Ask, if it is time to. A Slurm that doesn't answer is asked again later; jobs stay as they are."""
        if time.monotonic() < self._due:
            return
        self.begun = number = self.begun + 1
        try:
            self.rows, self.number, self.time = slurm.rows(await asyncio.to_thread(ask)), number, time.time()
        except BackendError as problem:
            log.warning("%s", problem)
        self._due = time.monotonic() + self._pause
        self._pause = min(_LATE, self._pause * _GROWTH)


class SlurmWatcher(Watcher):
    """A job on Slurm.

    Parameters
    ----------
    native: what `native` returned
    """

    def __init__(self, native: str, queue: SlurmQueue) -> None:
        self._queue = queue
        self._open: dict[int, str] = dict(enumerate(json.loads(native)))
        self._told: dict[int, tuple[str, str]] = {}
        # An answer to an earlier question may know nothing of the job yet.
        self._seen = queue.begun
        queue.soon()

    def soon(self) -> None:
        """See `Watcher.soon`."""
        self._queue.soon()

    def poll(self) -> list[Observation]:
        """See `Watcher.poll`."""
        if self._queue.number <= self._seen:
            return []
        self._seen = self._queue.number
        new = []
        for one in slurm.observations(self._open, self._queue.rows, self._queue.time):
            if self._told.get(one.task) != (one.state, one.reason):
                self._told[one.task] = one.state, one.reason
                new.append(one)
        for one in new:
            if one.state == "ended":
                del self._open[one.task]
        return new


def ask() -> str:
    """What ``squeue`` prints.

    Raises
    ------
    BackendError: it isn't there, doesn't answer, or says why it can't.
    """
    return _run(slurm.QUERY)


def cancel(ids: list[str]) -> None:
    """End jobs; fine if they have ended.

    Raises
    ------
    BackendError: Slurm doesn't do it.
    """
    _run(("scancel", *filter(None, ids)))


def find(token: str, tasks: int) -> str | None:
    """What `native` would have returned for the job of a token, if any of it was submitted."""
    found = ["" for _ in range(tasks)]
    for row in slurm.rows(ask()).values():
        if row.comment == token:
            found[_subjob(row.command) if tasks > 1 else 0] = row.id
    return json.dumps(found) if any(found) else None


def native(ids: list[str]) -> str:
    """What identifies a job of these Slurm jobs, one a task, as text for the store."""
    return json.dumps(ids)


def _subjob(script: str) -> int:
    """Ganga's number of the subjob whose script that is: …/JOB/SUBJOB/input/__jobscript__"""
    return int(os.path.normpath(script).split(os.sep)[-3])


def _run(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=True)
    except FileNotFoundError as error:
        raise BackendError(
            f"There is no {command[0]} here, so no Slurm to submit to.",
            "Use a machine from which squeue works, or another backend.",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"Slurm's {command[0]} didn't answer within {_LIMIT:.0f} s.", _LATER) from error
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())
        raise BackendError(f"Slurm's {command[0]} failed: {said}", _LATER) from error
    return done.stdout


_LATER = "Try again later; if it stays so, ask the site's support."
