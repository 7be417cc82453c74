"""Jobs in flight: what payload and backend say of them, stored first and then told.

An error with one job's files or rows is that job's: it is logged, and the other jobs go on.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import maps, spool
from ..condor import spooled
from ..condor.schedd import Schedd, Where
from ..states import ended
from . import clusters, dividing, progress, retries
from .lastwords import last_words
from .slurmqueue import SlurmQueue, SlurmWatcher
from .store import Store
from .stream import EventStream
from .summary import job_state
from .watch import CondorWatcher, GangaWatcher, LocalWatcher, Observation, SpoolWatcher, Watcher

log = logging.getLogger(__name__)

#: Tasks of one job whose streams are read in one look; those of larger jobs take turns.
_STREAMS = 20
#: Seconds between two tellings of a job of several tasks, at least.
_PAUSE = 0.25
#: How much longer it pauses than the last telling took: that of ten thousand tasks has its price.
_REST = 50

#: Called with a kind ("job", "output", "restart") and what to tell the job's followers.
Told = Callable[[str, dict[str, Any]], None]


@dataclass
class Watched:
    """A job in flight.

    Attributes
    ----------
    job: its row in the store, with its tasks; kept in step with the store
    streams: the event streams of its tasks
    held_back: what the backend said while a stream had more to read
    open: tasks that the backend hasn't ended
    live: those of them whose streams may grow
    turn: tasks that are yet to be looked at before all begin again
    changed: whether there is something to tell
    due: when it may be told next
    due_again: tasks that are to be released with more memory, or not to run again
    grown: whether a task has handed on items since the last look, so that there are more tasks
    """

    job: dict[str, Any]
    watcher: Watcher
    streams: list[EventStream]
    held_back: list[Observation]
    open: set[int] = field(default_factory=set)
    live: set[int] = field(default_factory=set)
    turn: list[int] = field(default_factory=list)
    changed: bool = False
    due: float = 0.0
    due_again: list[int] = field(default_factory=list)
    grown: bool = False

    @property
    def number(self) -> int:
        """The job's number."""
        return int(self.job["id"])

    def streams_due(self) -> set[int]:
        """The tasks whose streams this look reads: some in turn, and those of which the backend told."""
        if not self.turn:
            self.turn = list(self.live)
        now, self.turn = self.turn[:_STREAMS], self.turn[_STREAMS:]
        return {*now, *(seen.task for seen in self.held_back)}

    def note(self, task: dict[str, Any]) -> None:
        """Take in that a task's state may have changed.

        Its stream doesn't grow in the queue of a backend that tells of starts.
        """
        waits = task["state"] == "queued" and self.watcher.tells_of_starts
        for tasks, member in ((self.open, True), (self.live, not waits)):
            if member and not task["backend_ended"]:
                tasks.add(task["task"])
            else:
                tasks.discard(task["task"])

    def is_over(self) -> bool:
        """Whether the backend has ended all tasks."""
        return not self.open

    def is_due_to_tell(self, now: float) -> bool:
        """Whether its state is to be told now."""
        if not self.changed:
            return False
        at_once = len(self.streams) == 1 or all(ended(task["state"]) for task in self.job["tasks"])
        return at_once or now >= self.due

    def shown(self) -> dict[str, Any]:
        """The task whose reason a job that waits is shown with: its first in the queue."""
        return next(task for task in self.job["tasks"] if task["state"] == "queued")

    def result_size(self, name: str) -> int:
        """Bytes of a result file, 0 while it isn't there."""
        return spool.size(Path(self.job["folder"]), name)


class Watching:
    """All jobs in flight.

    Parameters
    ----------
    tell: told of outputs and restarts
    changed: told of a job whose state changed
    over: told of a job whose backend has ended all its tasks
    again: told of a job, and a task of it that is to be released with more memory (see `retried`), or that
        has ended and is run again by HTCondor, in vain: after a crash, or since a shadow was killed
    grown: told of a job that has more tasks than its backend, since some handed on items
    slurm: Slurm's queue
    """

    def __init__(
        self,
        store: Store,
        tell: Told,
        changed: Callable[[int], None],
        over: Callable[[dict[str, Any]], None],
        again: Callable[[dict[str, Any], dict[str, Any]], None],
        grown: Callable[[int], None],
        slurm: SlurmQueue,
    ) -> None:
        self._store, self._tell, self._changed, self._over, self._again = store, tell, changed, over, again
        self._grown, self._slurm = grown, slurm
        self._jobs: dict[int, Watched] = {}

    def __bool__(self) -> bool:
        return bool(self._jobs)

    @property
    def local(self) -> int:
        """How many tasks run on this very host."""
        return sum(len(watched.open) for watched in self._jobs.values() if watched.job["backend"] == "Local")

    def has(self, backend: str) -> bool:
        """Whether a job of that backend is in flight."""
        return any(watched.job["backend"] == backend for watched in self._jobs.values())

    def add(self, job: dict[str, Any], ganga_statuses: list[str]) -> None:
        """Watch a job that its backend has.

        Parameters
        ----------
        ganga_statuses: what Ganga says of its tasks now; empty if Ganga doesn't know it
        """
        folder = Path(job["folder"])
        watcher: Watcher
        if job["backend"] == "Local":
            watcher = LocalWatcher(job["native"])
        elif clusters.is_spooled(job):
            watcher = SpoolWatcher(job, spooled.follower(Schedd(*clusters.where(job))))
        elif job["backend"] == "HTCondor":
            watcher = CondorWatcher(folder, job["log_offset"], job["id"], job["clusters"])
        elif job["backend"] == "Slurm":
            watcher = SlurmWatcher(job["native"], self._slurm)
        else:
            watcher = GangaWatcher()
            for task, status in enumerate(ganga_statuses):
                watcher.tell(task, status)
        streams = [_stream(folder, task) for task in job["tasks"]]
        due = [task["task"] for task in job["tasks"] if retries.due(task)]
        self._jobs[job["id"]] = watched = Watched(job, watcher, streams, [], due_again=due)
        for task in job["tasks"]:
            watched.note(task)

    def row(self, number: int) -> dict[str, Any] | None:
        """A job in flight, its tasks as they are stored now; None if it isn't in flight."""
        watched = self._jobs.get(number)
        return watched.job if watched else None

    def kill_asked(self, number: int, task: int | None = None, asked: bool = True) -> None:
        """The user asked for the end of a job, or of one of its tasks; or that can't be done."""
        if number in self._jobs:
            job = self._jobs[number].job
            (job if task is None else job["tasks"][task])["kill_asked"] = int(asked)

    def look_soon(self, number: int) -> None:
        """Something was done with a job, and what came of it is to be seen soon."""
        if number in self._jobs:
            self._jobs[number].watcher.soon()

    def retried(self, number: int, task: int, problem: str) -> None:
        """A task was released with more memory; or it can't be, for a reason."""
        if watched := self._jobs.get(number):
            row = watched.job["tasks"][task]
            said = {"reason": f"{row['reason']} It can't be released with more: {problem}"} if problem else {}
            watched.changed |= self._change(watched, row, {**retries.settled(row), **said})

    def asked_for(self, number: int, resources: dict[str, Any]) -> None:
        """Other resources are asked for a job from now on; what was in its way may be so no longer."""
        if number in self._jobs:
            self._jobs[number].job["resources"] = resources
        self.explain(number, "")

    def tell_status(self, ganga_id: int, task: int, status: str) -> None:
        """Ganga changed a task's status."""
        for watched in self._jobs.values():
            if watched.job["ganga_id"] == ganga_id and isinstance(watched.watcher, GangaWatcher):
                watched.watcher.tell(task, status)

    def waiting(self) -> dict[tuple[Where, str], int]:
        """The jobs of which nothing runs and some waits in HTCondor's queue, the oldest first.

        For each the schedd, and the proc whose reason is shown, as HTCondor names it, with the job's number.
        """
        found: dict[tuple[Where, str], int] = {}
        for watched in self._jobs.values():
            job = watched.job
            if job["backend"] == "HTCondor" and job_state(job["tasks"]) == "queued":
                proc = clusters.proc_of(job["clusters"], watched.shown()["task"])
                found |= {(clusters.where(job), proc): watched.number} if proc else {}
        return found

    def sent(self, number: int, of_job: clusters.Clusters) -> None:
        """HTCondor has more of a job's tasks."""
        if watched := self._jobs.get(number):
            watched.job["clusters"], watched.changed = of_job, True
            assert isinstance(watched.watcher, CondorWatcher | SpoolWatcher)
            watched.watcher.grow(of_job)

    def not_sent(self, number: int, changes: dict[str, Any]) -> None:
        """HTCondor doesn't have some of a job's tasks, and this is what that means for them."""
        if watched := self._jobs.get(number):
            with self._store:
                for task in list(clusters.unsent(watched.job)):
                    watched.changed |= self._change(watched, task, changes)

    def explain(self, number: int, reason: str) -> None:
        """Say why a job that waits does so, or with an empty reason that it is not known (any more)."""
        watched = self._jobs.get(number)
        if watched is None or job_state(watched.job["tasks"]) != "queued":
            return
        if watched.shown()["reason"] != reason:
            self._change(watched, watched.shown(), {"reason": reason})
            self._changed(number)

    def look(self) -> None:
        """One look at every job in flight. Many times a second: with nothing new it costs little."""
        for watched in list(self._jobs.values()):
            try:
                self._look(watched)
            except (OSError, ValueError, KeyError, sqlite3.Error):
                log.exception("job %s", watched.number)

    def _look(self, watched: Watched) -> None:
        """The backend's log is read first and counts last: a task's stream is read to its end before."""
        watched.held_back += watched.watcher.poll()
        told: list[tuple[str, dict[str, Any]]] = []
        more = False
        tasks = watched.job["tasks"]
        before = {number: tasks[number]["state"] for number in watched.streams_due()}
        with self._store:
            for number in before:
                task, stream = tasks[number], watched.streams[number]
                if not task["backend_ended"]:
                    watched.changed |= self._read(watched, task, stream, told)
                    more |= stream.more
            if not more:
                watched.changed |= self._observe(watched)
            replaced = [
                path
                for number, state in before.items()
                if not ended(state) and tasks[number]["result"] and ended(tasks[number]["state"])
                for path in self._keep(watched, tasks[number])
            ]
        for path in replaced:
            path.unlink(missing_ok=True)
        for kind, what in told:
            self._tell(kind, what)
        if watched.grown:
            watched.grown, watched.changed = False, True
            self._grown(watched.number)
        while watched.due_again:
            self._again(watched.job, watched.job["tasks"][watched.due_again.pop()])
        if watched.is_due_to_tell(begun := time.monotonic()):
            watched.changed = False
            self._changed(watched.number)
            watched.due = begun + max(_PAUSE, _REST * (time.monotonic() - begun))
        if watched.is_over():
            del self._jobs[watched.number]
            self._over(watched.job)

    def _read(
        self, watched: Watched, task: dict[str, Any], stream: EventStream,
        told: list[tuple[str, dict[str, Any]]],
    ) -> bool:  # fmt: skip
        again, events = stream.read()
        if not again and not events:
            return self._late_result(watched, task)
        if watched.job["map"] is not None:
            events = self._of_own_items(watched, task, events)
        which = {"job": watched.number, "task": task["task"]}
        outputs = [(event.get("item"), event["output"]) for event in events if event["event"] == "output"]
        if not ended(task["state"]):
            live = watched.job["map"] is None  # the outputs of items are shown when the job has ended
            if again:
                first = self._store.forget_outputs(watched.number, task["task"])
                told += [("restart", {**which, "next": first})] * live
            first = self._store.add_outputs(watched.number, task["task"], outputs)
            if live:
                told += [
                    ("output", {**which, "number": n, "output": output})
                    for n, (_, output) in enumerate(outputs, first)
                ]
            failed = [(e["item"], e["error"]) for e in events if e["event"] == "item" and e["error"]]
            self._store.add_failures(watched.number, task["task"], failed)
        elif watched.job["backend"] == "HTCondor" and _starts_anew(task, events):
            # It runs in vain, and would put another result in the place.
            watched.due_again.append(task["task"])
        before = dict(task)
        for event in events:
            task.update(progress.on_event(task, event, watched.result_size))
        watched.note(task)
        changes = {key: value for key, value in task.items() if before[key] != value}
        self._store.change_task(
            watched.number, task["task"], stream_offset=stream.offset, stream_head=stream.head, **changes
        )
        return bool(changes)

    def _of_own_items(
        self, watched: Watched, task: dict[str, Any], events: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """The events of a map's task; of one that was started anew, only those of items that it keeps."""
        mapped, number = watched.job["map"], task["task"]
        begun = task["started"]
        for event in events:
            if event["event"] == "start":
                begun = event["time"]
            elif event["event"] == "left" and not ended(task["state"]):
                self._hand_on(watched, task, event["place"], event["time"] - begun)
        return [one for one in events if one.get("item") is None or maps.runs(mapped, number, one["item"])]

    def _hand_on(self, watched: Watched, task: dict[str, Any], place: int, took: float) -> None:
        """A task won't begin its items from a place on: they become tasks, which HTCondor is to get."""
        mapped = watched.job["map"]
        chunk = mapped["chunks"][task["task"]]
        if not chunk[0] < place < chunk[1]:  # it had handed them on before
            return
        room = mapped["most"] - len(mapped["chunks"])
        more = dividing.handed_on(chunk, place, took, mapped["budget"], room)
        mapped["chunks"][task["task"]] = [chunk[0], place]
        mapped["chunks"] += more
        added = self._store.add_tasks(watched.number, "queued", len(more))
        self._store.change_job(watched.number, map=mapped)
        watched.job["tasks"] += added
        watched.streams += [_stream(Path(watched.job["folder"]), one) for one in added]
        for one in added:
            watched.note(one)
        watched.grown = True

    def _late_result(self, watched: Watched, task: dict[str, Any]) -> bool:
        """Whether a result whose end was reported has arrived by now: a file transfer takes its time."""
        if ended(task["state"]) or not progress.arrived(task["result"], watched.result_size):
            return False
        return self._change(watched, task, progress.whole(task))

    def _observe(self, watched: Watched) -> bool:
        seen, watched.held_back = watched.held_back, []
        changed = False
        for one in seen:
            task = watched.job["tasks"][one.task]
            if task["backend_ended"]:  # told again, or only of the memory that it had used
                continue
            asked = bool(watched.job["kill_asked"] or task["kill_asked"])
            changes = progress.on_observation(task, one, asked, watched.result_size)
            if ended(task["state"]):
                if retries.is_again(one):
                    watched.due_again.append(one.task)
            else:
                changes |= retries.on_observation(task, one, watched.job["resources"], asked)
            if changes.get("state") == "lost" and not one.reason:
                changes["reason"] += self._last_words(watched, one.task)
            changed |= self._change(watched, task, changes)
            if "again" in changes and retries.due(task):
                watched.due_again.append(one.task)
        if watched.watcher.offset != watched.job["log_offset"]:
            watched.job["log_offset"] = watched.watcher.offset
            self._store.change_job(watched.number, log_offset=watched.watcher.offset)
        return changed

    def _change(self, watched: Watched, task: dict[str, Any], changes: dict[str, Any]) -> bool:
        if not changes:
            return False
        task.update(changes)
        watched.note(task)
        self._store.change_task(watched.number, task["task"], **changes)
        return True

    def _keep(self, watched: Watched, task: dict[str, Any]) -> list[Path]:
        """Keep the result that counts, and its files, under names of their own; returns the names they had.

        HTCondor may start a task anew whose shadow was killed before it had told the schedd of the end, and
        another result, with another signature, would come under the old name.
        """
        if watched.job["backend"] != "HTCondor" or not progress.arrived(task["result"], watched.result_size):
            return []
        folder, result = Path(watched.job["folder"]), task["result"]
        kept = f"{task['task']}.{task['attempt']}.kept"
        renamed, names = {**result, "file": kept}, {result["file"]: kept}
        if result.get("files"):
            renamed["files"] = {**result["files"], "file": f"{kept}.files"}
            names[result["files"]["file"]] = f"{kept}.files"
        for name, new in names.items():
            spool.keep(folder, name, new)
        self._change(watched, task, {"result": renamed})
        return [folder / name for name in names]

    @staticmethod
    def _last_words(watched: Watched, task: int) -> str:
        """What the interpreter itself wrote to standard error before it ended."""
        path = Path(watched.job["folder"]) / f"{task}.stderr"
        said = last_words(path.read_text(errors="replace")) if path.exists() else ""
        return f" {said}" if said else ""


def _stream(folder: Path, task: dict[str, Any]) -> EventStream:
    return EventStream(folder / f"{task['task']}.events", task["stream_offset"], task["stream_head"])


def _starts_anew(task: dict[str, Any], events: list[dict[str, Any]]) -> bool:
    """Whether the payload of a task, whose end was told, was started once more."""
    return any(event["event"] == "start" and event["attempt"] > task["attempt"] for event in events)
