"""All jobs: what clients ask of them, and the loops that see to them. Runs in the broker's event loop."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any

from .. import spool
from ..condor import spooled
from ..condor.schedd import Where
from ..errors import BackendError, BrokerError, GangaKernelError, UnknownBackend
from ..maps import MOST_TASKS
from ..settings import GangaKernel
from ..spool import Spool
from ..states import ended
from . import (
    again,
    backends,
    clusters,
    dividing,
    fetching,
    progress,
    reading,
    rehearsing,
    slurmqueue,
)
from .attaching import attaches
from .dividing import Slots
from .handing import Handing
from .idling import LOOK, Idling
from .sending import Sending
from .session import GangaSession, GangaThread
from .store import Store
from .summary import job_state, results, summary
from .watching import Told, Watching

log = logging.getLogger(__name__)

#: Seconds between two looks at the jobs in flight.
POLL = 0.04
#: Seconds between two looks whether it is time to ask a schedd how spooled jobs are.
_FOLLOW = 0.5
#: Items whose outputs are told one by one.
_ITEMS = 50
#: Seconds for which a schedd that answered counts as being there.
_STILL_THERE = 1.0


class Jobs:
    """All jobs of the broker.

    Parameters
    ----------
    tell: told of everything that happens to jobs; see `watching.Told`
    """

    def __init__(self, settings: GangaKernel, store: Store, tell: Told) -> None:
        self._settings, self._store, self._tell = settings, store, tell
        self._loop = asyncio.get_running_loop()
        self._ganga = GangaThread(GangaSession(settings.ganga, self._from_ganga))
        self._booted: asyncio.Future[None] = self._loop.create_future()
        self._schedd = asyncio.ensure_future(asyncio.to_thread(backends.schedd_in_reach))
        self._slurm = slurmqueue.SlurmQueue()
        self._watching = Watching(
            store, tell, self._changed, self._over, self._again, self._handed_on, self._slurm
        )
        self._sending = Sending(settings, store, self._watching, self._add_cluster)
        self._slots = Slots()
        self._idling = Idling(self._watching, settings.idle_pause)
        self._schedd_answered: dict[Where, float] = {}
        self._resubmitting = asyncio.Lock()
        self._in_flight = asyncio.Event()
        self._retrying: set[asyncio.Future[None]] = set()
        self._finding: set[asyncio.Future[None]] = set()
        self._handing = Handing(
            settings, store, self._ganga, self._watching, self._slots, self._changed, self._in_queue
        )

    # ------------------------------------------------------------------ requests

    async def add(self, job: dict[str, Any], attach: str) -> dict[str, Any]:
        """Accept a job: store it durably, hand it over soon.

        Asked again with the same token, because an answer was lost, it says what became of the job. If the
        cell has a job already to which it attaches, that one is the answer, and nothing is stored.

        Raises
        ------
        UnknownBackend, ScheddUnreachable, BrokerError: nothing was stored.
        """
        known = self._known(job, attach)
        if known:
            return known
        await self._check(job)
        allowed = self._limits(job["backend"])
        caution = await asyncio.to_thread(backends.caution, job, allowed)
        if self._booted.done():  # not before: Ganga may have failed meanwhile, and nobody would end the job
            self._booted.result()
        known = self._known(job, attach)  # there was time for it to come
        if known:
            return known
        number = self._store.add({**job, "limits": allowed})
        if caution:
            self._store.change_task(number, 0, notes=[caution])
        self._handing.soon()
        return self.job(number)

    async def describe(self, job: dict[str, Any]) -> dict[str, Any]:
        """What submitting a job would do; see `backends.described`. Nothing is stored, and nothing submitted.

        Raises
        ------
        UnknownBackend, ScheddUnreachable, BackendError: submitting it would fail so.
        """
        await self._check(job)
        if dividing.is_due(job):
            job["tasks"] = len((await self._slots.divide(job, MOST_TASKS))["chunks"])
        job["limits"] = self._limits(job["backend"])
        described = await asyncio.to_thread(
            backends.described, job, self._settings.spool, self._settings.max_idle
        )
        return {"backend": job["backend"], **described}

    async def _check(self, job: dict[str, Any]) -> None:
        """See that a job's backend takes it, and name that as Ganga does.

        A schedd that answered a moment ago isn't asked again.
        """
        job["backend"] = backend = await self._backend(job["backend"])
        backends.check_resources(backend, job["resources"])
        if backend == "HTCondor":
            site = self._settings
            await asyncio.to_thread(backends.check_site, job, self._limits(backend), site.spool)
            await fetching.check(backends.urls(Path(job["folder"])))
        answered = self._schedd_answered.get(where := clusters.where(job), float("-inf"))
        lately = time.monotonic() - answered < _STILL_THERE
        # One to which files are spooled is asked each time, since it tells how full its queue is.
        if backend == "HTCondor" and lately and not clusters.is_spooled(job):
            return
        await asyncio.to_thread(backends.check, job, self._limits(backend), self._settings.spool)
        if backend == "HTCondor":
            self._schedd_answered[where] = time.monotonic()

    def _limits(self, backend: str) -> dict[str, Any]:
        """What the site allows a job of a backend, and asks for."""
        return self._settings.pool.known() if backend == "HTCondor" else {}

    def _known(self, job: dict[str, Any], attach: str) -> dict[str, Any] | None:
        """The job that was stored for this request, or to which it attaches, as the same cell's."""
        known = self._store.by_token(job["token"])
        if known:
            return summary(known)
        known = self._store.by_fingerprint(job["fingerprints"])
        if known is None or not attaches(known, summary(known)["state"], attach, _whole(known)):
            return None
        self._store.change_job(known["id"], execution_count=job["execution_count"])
        return self.job(known["id"])

    def job(self, number: int) -> dict[str, Any]:
        """A job's summary.

        Raises
        ------
        BackendError: there is no such job.
        """
        known = self._watching.row(number)
        return summary(self.row(number) if known is None else self._store.fresh(known))

    def row(self, number: int) -> dict[str, Any]:
        """A job as it is stored, with its tasks.

        Raises
        ------
        BackendError: there is no such job.
        """
        found = self._store.job(number)
        if found is None:
            raise BackendError(f"There is no job {number}.", "%jobs lists them.")
        return found

    def results(self, number: int) -> dict[str, Any]:
        """What the tasks of a map left, and the outputs of its first items, failures before all others."""
        job = self._store.job(number)
        if job is None or job["map"] is None:
            raise BackendError(f"Job {number} is no map.", "%jobs lists the jobs.")
        return {
            "tasks": [*self._left_before(job), *results(job)],
            "items": self._store.item_outputs(number, _ITEMS),
            "with_outputs": self._store.count_item_outputs(number),
        }

    def _left_before(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """What is left of the jobs whose failed items a map runs again, the oldest first."""
        if (before := job["first"]) is None:
            return []
        again = set(job["map"]["only"])
        return [
            task if task["result"] else {**task, "items": left}
            for task in (*self._left_before(before), *results(before))
            if task["result"] or (left := [item for item in task["items"] if item not in again])
        ]

    async def resubmit(
        self, number: int, token: str, failed: bool, resources: dict[str, Any], execution_count: int
    ) -> dict[str, Any]:
        """Submit a job once more, as another one; see `again.repeated`.

        Parameters
        ----------
        token: the new job's
        execution_count: In[n] of the cell that asks for it

        Raises
        ------
        BackendError: there is no such job, or nothing to run again.
        """
        async with self._resubmitting:  # asked again, it must not touch an accepted job's files
            if known := self._store.by_token(token):
                return summary(known)
            return await self._resubmit(number, token, failed, resources, execution_count)

    async def _resubmit(
        self, number: int, token: str, failed: bool, resources: dict[str, Any], execution_count: int
    ) -> dict[str, Any]:
        job = self.row(number)
        failures = self._store.failed_items(number)
        site = self._settings
        fields = again.repeated(job, failures, failed, resources, site.slots, site.chunk_seconds)
        folder = await asyncio.to_thread(
            Spool(self._settings.spool).copy_job, Path(job["folder"]), token, fields["map"]
        )
        try:
            new = {**fields, "token": token, "folder": str(folder), "execution_count": execution_count}
            return await self.add(new, "never")
        except GangaKernelError:
            await asyncio.to_thread(spool.remove, folder)
            raise

    async def kill(self, number: int, task: int | None = None) -> dict[str, Any]:
        """Kill a job, or one task of it; what has ended is left as it is.

        Raises
        ------
        BackendError: there is no such job or task, or that task has ended, or isn't on its backend yet.
        """
        job = self._store.job(number)
        if job is not None and task is not None:
            task = reading.task_of(job, task)
            if len(job["tasks"]) > 1:
                return await self._kill_task(job, task)
        if job is None or ended(summary(job)["state"]):
            return self.job(number)
        if ended(job_state(job["tasks"])):  # it waits for the rest of the job whose failed items it ran
            await self.kill(job["first"]["id"])
            return self.job(number)
        self._store.change_job(number, kill_asked=1)
        self._watching.kill_asked(number)
        self._handing.stop_upload(number)
        if job["handed"] == 0:
            self._handing.end_unstarted(job, "killed", "")
        elif job["handed"] == 2:
            if job["ganga_id"] is not None:
                await self._ganga.call(partial(self._ganga.session.kill, job["ganga_id"]))
            if job["ganga_id"] is None or (job["backend"] == "Local" and len(job["tasks"]) > 1):
                await asyncio.to_thread(backends.remove, job)
            self._watching.look_soon(number)
        return self.job(number)

    async def _kill_task(self, job: dict[str, Any], task: int) -> dict[str, Any]:
        number = job["id"]
        if ended(state := job["tasks"][task]["state"]):
            raise BackendError(
                f"Task {number}.{task} has ended: {state}.", f"%logs {number}.{task} tells more."
            )
        self._note_kill(number, task, True)  # before, or its end would be told as a loss
        found = False
        try:
            found = job["handed"] == 2 and await self._end_task(job, task)
        finally:
            if not found:
                self._note_kill(number, task, False)
        if not found:
            raise BackendError(
                f"{job['backend']} doesn't have task {number}.{task} yet.",
                f"Try again when it runs, or end all of the job: %kill {number}",
            )
        return self.job(number)

    def _note_kill(self, number: int, task: int, asked: bool) -> None:
        self._store.change_task(number, task, kill_asked=int(asked))
        self._watching.kill_asked(number, task, asked)

    async def _end_task(self, job: dict[str, Any], task: int) -> bool:
        """End a task on its backend; whether that has it."""
        if job["backend"] in backends.OURS:
            found = await asyncio.to_thread(backends.remove_task, job, task, "killed in the notebook")
        else:
            await self._ganga.call(partial(self._ganga.session.kill, job["ganga_id"], task))
            found = True
        self._watching.look_soon(job["id"])
        return found

    async def act(self, number: int, action: str) -> int:
        """Hold or release a job; see `backends.act`.

        Raises
        ------
        BackendError: there is no such job, it has ended, or its backend can't do it.
        """
        changed = await asyncio.to_thread(backends.act, self._in_flight_one(number), action)
        self._watching.look_soon(number)
        return changed

    async def change(self, number: int, resources: dict[str, Any]) -> dict[str, Any]:
        """Ask for other resources for a job in the queue; see `backends.change`.

        Raises
        ------
        BackendError: there is no such job, it has ended, or its backend can't do it.
        """
        job = self._in_flight_one(number)
        await asyncio.to_thread(backends.change, job, resources)
        asked = {**job["resources"], **resources}
        self._store.change_job(number, resources=asked)
        self._watching.asked_for(number, asked)
        return self.job(number)

    def _in_flight_one(self, number: int) -> dict[str, Any]:
        job = self.row(number)
        if ended(state := job_state(job["tasks"])):
            raise BackendError(f"Job {number} has ended: {state}.", f"%resubmit {number} runs it once more.")
        return job

    async def status(self) -> dict[str, Any]:
        """How Ganga is ("starting", "ready" or an error), and whether an HTCondor schedd is in reach."""
        error = self._booted.exception() if self._booted.done() else None
        ready = "ready" if self._booted.done() else "starting"
        return {"ganga": ready if error is None else str(error), "schedd": await self._schedd}

    @property
    def idle(self) -> bool:
        """Whether no job is in flight."""
        return not self._store.is_unfinished()

    @property
    def local(self) -> bool:
        """Whether a job runs on this very host."""
        return self._watching.local > 0

    # ------------------------------------------------------------------ the loops

    async def run(self) -> None:
        """Boot Ganga, recover what an earlier broker left, then hand over and watch jobs, for ever."""
        try:
            await self._ganga.call(self._ganga.session.boot)
        except Exception as error:
            told = (
                error
                if isinstance(error, GangaKernelError)
                else BrokerError(f"Ganga can't be loaded: {error!r}.")
            )
            log.error("%s", told, exc_info=error)
            self._booted.set_exception(told)
            self._booted.exception()  # it is told to whoever submits from now on
            for job in self._store.accepted():
                self._handing.end_unstarted(job, "refused", str(told))
            return
        await self._recover()
        self._booted.set_result(None)
        self._handing.soon()
        await asyncio.gather(
            self._handing.run(), self._watch(), self._explain(), self._ask_slurm(), self._follow_spooled()
        )

    async def close(self) -> None:
        """Shut Ganga down; jobs go on. The next broker finds out about one that is being handed over."""
        self._sending.stop()
        self._handing.stop()
        for finding in self._finding:
            finding.cancel()
        spooled.stop()
        await self._ganga.call(self._ganga.session.close)

    async def _recover(self) -> None:
        """Watch the jobs again that an earlier broker handed over; submit none twice.

        Whether HTCondor has a job may take long to tell: the others don't wait for that.
        """
        for job in self._store.unfinished():
            if job["handed"] == 1 and job["backend"] == "HTCondor":
                finding = asyncio.ensure_future(self._recover_one(job))
                self._finding.add(finding)
                finding.add_done_callback(self._finding.discard)
            else:
                await self._recover_one(job)

    async def _recover_one(self, job: dict[str, Any]) -> None:
        async with self._handing.only_this(job):
            if job["handed"] == 1:
                await self._handing.find_again(job)
                job = self.row(job["id"])
                self._handing.soon()
            if job["handed"] == 2:
                await self._begin_to_watch(job)
                if any(clusters.unsent(job)):
                    self._sending.send(job["id"])
            if job["kill_asked"] and not ended(job_state(job["tasks"])):
                await self.kill(job["id"])

    async def _watch(self) -> None:
        while True:
            await self._in_flight.wait()
            while self._watching:
                self._watching.look()
                await asyncio.sleep(POLL)
            self._in_flight.clear()

    async def _explain(self) -> None:
        """Say why jobs wait in HTCondor's queue."""
        while True:
            await self._in_flight.wait()
            try:
                await self._idling.look()
            except sqlite3.Error:  # a full disk: the jobs go on without a sentence
                log.exception("why jobs wait")
            await asyncio.sleep(LOOK)

    async def _ask_slurm(self) -> None:
        """Ask Slurm for its queue, while it has jobs of ours."""
        while True:
            await self._in_flight.wait()
            if self._watching.has("Slurm"):
                await self._slurm.look()
            await asyncio.sleep(slurmqueue.LOOK)

    async def _follow_spooled(self) -> None:
        """Ask the schedds that have spooled jobs of ours, each in its own time."""
        asking: dict[spooled.Follower, asyncio.Future[None]] = {}
        while True:
            await self._in_flight.wait()
            for follower in spooled.followers():
                if follower not in asking or asking[follower].done():
                    asking[follower] = asyncio.ensure_future(asyncio.to_thread(follower.look))
            await asyncio.sleep(_FOLLOW)

    async def _in_queue(self, number: int) -> None:
        """A job's backend has it."""
        job = self.row(number)
        await self._begin_to_watch(job)
        if rehearsing.is_on(job):
            self._sending.send(number)
        self._changed(number)
        if job["kill_asked"]:
            await self.kill(number)

    async def _begin_to_watch(self, job: dict[str, Any]) -> None:
        statuses: list[str] = []
        if job["ganga_id"] is not None and job["backend"] not in backends.OURS:
            statuses = await self._ganga.call(partial(self._ganga.session.statuses, job["ganga_id"]))
        self._watching.add(job, statuses)
        self._in_flight.set()

    async def _add_cluster(self, job: dict[str, Any], described: tuple[Any, ...]) -> int:
        """Have Ganga submit a further cluster of a job, and return its number."""
        number = job["ganga_id"]
        if number is None:
            cluster = await asyncio.to_thread(backends.add_cluster, job, *described)
        else:
            cluster = await self._ganga.call(partial(self._ganga.session.add_cluster, number, *described))
        await self._handing.upload(job, str(cluster))
        return cluster

    # ------------------------------------------------------------------ what the watching tells

    def _handed_on(self, number: int) -> None:
        """A job has more tasks than HTCondor, since some handed on items."""
        self._sending.send(number)

    def _over(self, job: dict[str, Any]) -> None:
        """A job's backend has ended all its tasks."""
        self._handing.soon()  # a core is free
        unnoticed = [task["task"] for task in job["tasks"] if task["exit_code"] is None]
        if job["backend"] in ("Local", "Slurm") and job["ganga_id"] is not None and unnoticed:
            asyncio.ensure_future(  # noqa: RUF006 (Ganga's own book-keeping; nothing waits for it)
                self._ganga.call(partial(self._ganga.session.give_up, job["ganga_id"], unnoticed))
            )

    def _again(self, job: dict[str, Any], task: dict[str, Any]) -> None:
        """A task is to be released with more memory, or has told its end, so that it needn't run again."""
        act = self._stop if ended(task["state"]) else self._release
        retrying = asyncio.ensure_future(act(job, task))
        self._retrying.add(retrying)
        retrying.add_done_callback(self._retrying.discard)

    async def _release(self, job: dict[str, Any], task: dict[str, Any]) -> None:
        problem, memory = "", task["again"][-1]["memory"]
        try:
            await asyncio.to_thread(backends.retry, job, task["task"], memory)
        except GangaKernelError as error:
            problem = str(error)
        self._watching.retried(job["id"], task["task"], problem)

    @staticmethod
    async def _stop(job: dict[str, Any], task: dict[str, Any]) -> None:
        """The process of a task crashed after the cell's end, and HTCondor doesn't know of that."""
        try:
            await asyncio.to_thread(backends.remove_task, job, task["task"], "it has ended")
        except GangaKernelError as error:
            log.warning("job %s goes on in vain: %s", job["id"], error)

    def _changed(self, number: int) -> None:
        job = self.job(number)
        if ended(job["state"]) or job["tasks"] > 1:
            self._handing.soon()  # another one may wait for it, or for a core
        self._tell("job", {"job": job})
        if ended(job["state"]):
            for later in self._store.repeats(job["token"]):
                self._changed(later)

    # ------------------------------------------------------------------ Ganga's thread

    async def _backend(self, name: str) -> str:
        """The backend's name, if it can run batch cells."""
        if name in backends.OURS:
            return name
        await asyncio.shield(self._booted)
        known = backends.fit(await self._ganga.call(self._ganga.session.backends))
        if name not in known:
            raise UnknownBackend(
                f"There is no backend {name!r} for batch cells.", backends.advice(name, known)
            )
        return name

    def _from_ganga(self, ganga_id: int, task: int, status: str) -> None:
        """Ganga changed a task's status; called in its thread."""
        self._loop.call_soon_threadsafe(self._watching.tell_status, ganga_id, task, status)


def _whole(job: dict[str, Any]) -> bool:
    """Whether a job's files are there: its description, and the results that it has."""
    size = partial(spool.size, Path(job["folder"]))
    found = [task["result"] for task in job["tasks"] if task["result"] is not None]
    return size("job.json") > 0 and all(progress.arrived(one, size) for one in found)
