"""Jobs whose files are spooled: submitted to a schedd that sees none of them, watched there, and fetched.

Such a job's event log is on the schedd's disk, so the schedd is asked how its jobs are, for all of them at
once and at a gentle rate; their output comes back when they have ended. What talks to the schedd is a process
of its own (`spooling`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from ganga_kernel.condor.eventlog import FINAL, Observation
from ganga_kernel.condor.interruptions import FORGOTTEN
from ganga_kernel.condor.schedd import Schedd, Where
from ganga_kernel.errors import BackendError, GangaKernelError, from_wire, sentence

_log = logging.getLogger(__name__)

#: Files of a job's folder that are locked while its files are sent, and while its output is fetched.
_SENDING, _FETCHING = "sending", "fetching"
#: Seconds between two questions: at first, and at most; and by how much they grow.
_SOON, _LATE, _GROWTH = 1.0, 20.0, 1.5
#: Seconds in which a schedd must tell how its jobs are.
_LIMIT = 60.0
#: Seconds after which the schedd is asked again before more is fetched.
_LONG = 20.0
#: Questions in a row after which a job is gone of which neither queue nor history says anything.
_MISSES = 3
_CRASHED = {
    "name": "BackendError",
    "message": "The process that talks to the schedd ended without a word.",
    "remedy": "The broker's log may say why.",
}


class Upload:
    """A cluster in the queue whose files are on their way there."""

    def __init__(
        self, schedd: Schedd, cluster: int, process: subprocess.Popen[str], answers: IO[str]
    ) -> None:
        self._schedd, self._cluster, self._process, self._answers = schedd, cluster, process, answers

    @property
    def ended(self) -> bool:
        """Whether they are there, or can't be sent."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """Send no more; `result` tells then that they can't be sent."""
        self._process.terminate()

    def result(self) -> None:
        """Return when they are there.

        Raises
        ------
        BackendError: they can't be sent, and the cluster was removed.
        """
        with self._answers:
            said = self._answers.read()
        self._process.wait()
        if not said:  # it was ended, so that it can't have removed the cluster
            self._schedd.remove(str(self._cluster), "its files were not sent to the end")
        _answer(said)


_uploads: dict[tuple[Where, int], Upload] = {}
_followers: dict[Where, Follower] = {}


def submit(
    schedd: Schedd, folder: Path, description: Mapping[str, str], items: Sequence[Mapping[str, str]]
) -> int:
    """Put a cluster into the queue, and have its files sent there meanwhile (see `upload`); its number.

    Raises
    ------
    SubmitRefused, ScheddUnreachable: it isn't in the queue.
    """
    with _locked(folder / _SENDING) as lock:
        process = _start(schedd, lock, do="submit", description=dict(description), items=[*map(dict, items)])
    assert process.stdout is not None
    try:
        cluster = int(_answer(process.stdout.readline())["cluster"])
    except GangaKernelError:
        process.stdout.close()
        process.wait()
        raise
    _uploads[(schedd.name, schedd.pool), cluster] = Upload(schedd, cluster, process, process.stdout)
    return cluster


def upload(where: Where, cluster: int) -> Upload:
    """The upload of a cluster that this process has submitted."""
    return _uploads.pop((where, cluster))


def is_being_sent(folder: Path) -> bool:
    """Whether a process sends files of the job in a folder, whoever started it."""
    try:
        with _locked(folder / _SENDING, fcntl.LOCK_NB):
            return False
    except BlockingIOError:
        return True


def follower(schedd: Schedd) -> Follower:
    """The one that follows a schedd's jobs in this process."""
    where = schedd.name, schedd.pool
    if where not in _followers:
        _followers[where] = Follower(schedd)
    return _followers[where]


def followers() -> list[Follower]:
    """All that there are."""
    return list(_followers.values())


def stop() -> None:
    """Follow none any more: what is being asked or fetched is left to the next process that follows them."""
    while _followers:
        _followers.popitem()[1].stop()


class Follower:
    """Follows the spooled jobs of one schedd. May be used by several threads.

    Attributes
    ----------
    state: what was said last of each proc, by (cluster, proc); it is replaced, never changed
    """

    def __init__(self, schedd: Schedd) -> None:
        self._schedd = schedd
        self._folders: dict[int, tuple[Path, float]] = {}
        self._open: set[tuple[int, int]] = set()
        self._missed: dict[tuple[int, int], int] = {}
        self._failed: dict[tuple[int, int], int] = {}
        self._stopped = False
        self._process: subprocess.Popen[str] | None = None
        self._changing, self._looking = threading.Lock(), threading.Lock()
        self._pause, self._due = _SOON, 0.0
        self.state: Mapping[tuple[int, int], Observation] = {}

    def follow(self, cluster: int, procs: Iterable[int], folder: Path, since: float) -> None:
        """Tell of these procs from now on, and fetch their output.

        Parameters
        ----------
        folder: from which they were submitted
        since: a moment before that, in Unix seconds
        """
        new = {(cluster, proc) for proc in procs}
        with self._changing:
            new = {key for key in new - self._open if not self._has_ended(key)}
            if not new:
                return
            self._folders[cluster] = folder, since
            self._open |= new
        self.soon()

    def soon(self) -> None:
        """Something was done with a job, or it is new: what became of it is to be seen soon."""
        self._pause, self._due = _SOON, min(self._due, time.monotonic() + _SOON)

    def stop(self) -> None:
        """Ask and fetch no more. What is on its way is broken off, and can be fetched again."""
        self._stopped = True
        if self._process is not None:
            self._process.terminate()

    def look(self) -> None:
        """Ask the schedd, if it is time to, and fetch what has ended. Returns when that is here.

        A schedd that doesn't answer, or doesn't send what it has, is told as the jobs' reason.
        """
        if not self._open or time.monotonic() < self._due or not self._looking.acquire(blocking=False):
            return
        try:
            self._due = float("inf")  # but for `soon`
            self._fetch(self._ask())
        finally:
            self._due = min(self._due, time.monotonic() + self._pause)
            self._pause = min(_LATE, self._pause * _GROWTH)
            self._looking.release()

    def _ask(self) -> list[str]:
        """Publish how the procs are; those whose output is to be fetched."""
        with self._changing:
            asked = sorted(self._open)
            since = min(self._folders[cluster][1] for cluster, _ in asked)
        try:
            said = self._answer(_LIMIT, do="look", procs=[*map(_name, asked)], since=since)
        except GangaKernelError as error:
            self._blame(asked, error)
            return []
        seen = _observations(said["seen"])
        self._missed = {key: self._missed.get(key, 0) + 1 for key in map(_key, said["unknown"])}
        now = time.time()
        gone = [key for key, times in self._missed.items() if times >= _MISSES]
        self._publish([*seen, *(Observation(*key, "removed", now, reason=FORGOTTEN) for key in gone)])
        if said["error"]:
            self._blame(map(_key, said["left"]), from_wire(said["error"]))
        return list(said["waiting"])

    def _fetch(self, procs: Iterable[str]) -> None:
        """Fetch what procs left, a cluster after the other, those last of which it failed before."""
        of_cluster: dict[int, list[str]] = {}
        for key in sorted(map(_key, procs), key=lambda key: self._failed.get(key, 0)):
            of_cluster.setdefault(key[0], []).append(_name(key))
        begun = time.monotonic()
        for cluster, names in of_cluster.items():
            if self._stopped or time.monotonic() - begun > _LONG:
                self.soon()
                return
            try:
                with _locked(self._folders[cluster][0] / _FETCHING) as lock:
                    said = self._answer(None, lock, do="fetch", procs=names)
            except OSError as error:
                why = f"The output can't be fetched: {error}."
                self._blame(map(_key, names), BackendError(why, "It is tried again."))
            except GangaKernelError as error:
                self._blame(map(_key, names), error)
            else:
                self._publish(_observations(said["seen"]))
                for name, why in said["failed"].items():
                    self._failed[_key(name)] = self._failed.get(_key(name), 0) + 1
                    self._blame([_key(name)], from_wire(why))
                if said["seen"] and len(said["seen"]) + len(said["failed"]) < len(names):
                    self.soon()

    def _answer(self, limit: float | None, lock: int | None = None, **request: Any) -> dict[str, Any]:
        """What the process answers to a request.

        Raises
        ------
        BackendError: as the process says, or it takes longer than the limit, in seconds.
        """
        self._process = process = _start(self._schedd, lock, **request)
        if self._stopped:  # just before it was there to be ended
            process.terminate()
        try:
            said, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.communicate()
            whose = f"The schedd {self._schedd.name}" if self._schedd.name else "This machine's schedd"
            raise BackendError(
                f"{whose} doesn't answer within {limit:.0f} s.", "It is asked again."
            ) from error
        finally:
            self._process = None
        return _answer(said)

    def _blame(self, keys: Iterable[tuple[int, int]], error: GangaKernelError) -> None:
        """Say why nothing is known of procs, which stay as they are; why one is held counts for more."""
        now = time.time()
        _log.warning("%s: %s", self._schedd.name or "the schedd", error)
        before = (self.state.get(key) or Observation(*key, "queued", now) for key in keys)
        self._publish([replace(one, reason=sentence(error)) for one in before if one.state != "held"])

    def _publish(self, seen: Iterable[Observation]) -> None:
        with self._changing:
            self.state = {**self.state, **{(one.cluster, one.proc): one for one in seen}}
            self._open = {key for key in self._open if not self._has_ended(key)}

    def _has_ended(self, key: tuple[int, int]) -> bool:
        return key in self.state and self.state[key].state in FINAL


def _name(key: tuple[int, int]) -> str:
    return f"{key[0]}.{key[1]}"


def _key(name: str) -> tuple[int, int]:
    cluster, proc = name.split(".")
    return int(cluster), int(proc)


def _observations(said: Iterable[Mapping[str, Any]]) -> list[Observation]:
    return [Observation(**one) for one in said]


@contextlib.contextmanager
def _locked(path: Path, how: int = 0) -> Iterator[int]:
    """A lock on a file, as the file's number: a process that gets it holds the lock as well.

    So the lock outlives whoever started that process, and was killed.

    Parameters
    ----------
    how: `fcntl.LOCK_NB` for who doesn't wait

    Raises
    ------
    BlockingIOError: another one has it.
    """
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | how)
        yield number
    finally:
        os.close(number)


def _start(schedd: Schedd, lock: int | None, **request: Any) -> subprocess.Popen[str]:
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ganga_kernel.condor.spooling"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=() if lock is None else (lock,),
        )
    except OSError as error:
        raise BackendError(f"The process that talks to the schedd can't be started: {error}.") from error
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin:  # it has ended, and says why
        json.dump({"schedd": schedd.name, "pool": schedd.pool, **request}, process.stdin)
    process.stdin = None  # it is closed
    return process


def _answer(said: str) -> dict[str, Any]:
    """The answer in the last line of what a process wrote.

    Raises
    ------
    BackendError: it is an error, or there is none.
    """
    try:
        answer: dict[str, Any] | None = json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        answer = {"error": _CRASHED}
    if answer and answer.get("error") and "seen" not in answer:
        raise from_wire(answer["error"])
    return answer or {}
