"""Accepted jobs, handed to Ganga one after the other, until their backend has them.

A job that waits for others, for a core or for a pack is passed over. That one is being handed over is stored
before it is, so that the next broker can find out what became of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from .. import spool
from ..condor import spooled
from ..errors import BackendError, GangaKernelError, ScheddUnreachable, sentence
from ..settings import GangaKernel
from ..states import ended
from . import backends, clusters, dependencies, dividing, packs, progress, rehearsing
from .dividing import Slots
from .session import GangaThread
from .store import Store
from .summary import summary
from .watching import Watching

log = logging.getLogger(__name__)

#: Jobs in Ganga's hands at once: one that it submits, and one that is ready to be the next.
_AT_ONCE = 2
#: Jobs whose files are sent to a schedd at once.
_UPLOADS = 2
#: Seconds between two looks whether files have been sent; by a process of a broker that died.
_LOOK, _LOOK_AT_OTHERS = 0.05, 0.5
#: Seconds until a schedd that didn't answer is asked again what became of a job.
_AGAIN = 10.0


class Handing:
    """Hands jobs over.

    Parameters
    ----------
    changed: told the number of a job whose state changed
    in_queue: told the number of a job that its backend has from now on
    """

    def __init__(
        self,
        settings: GangaKernel,
        store: Store,
        ganga: GangaThread,
        watching: Watching,
        slots: Slots,
        changed: Callable[[int], None],
        in_queue: Callable[[int], Awaitable[None]],
    ) -> None:
        self._settings, self._store, self._ganga = settings, store, ganga
        self._watching, self._slots = watching, slots
        self._changed, self._in_queue = changed, in_queue
        self._due = asyncio.Event()
        self._local_waits = False
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._handing: set[asyncio.Future[None]] = set()
        self._packs = packs.Packs(settings.spool)
        self._packing: dict[int, asyncio.Future[None]] = {}
        self._being_sent: set[int] = set()
        self._uploads: dict[int, spooled.Upload] = {}

    def soon(self) -> None:
        """There is a new job, or one that waits may have what it waits for."""
        self._due.set()

    def stop(self) -> None:
        """Leave the rest to the next broker, which finds out about what is being handed over."""
        for handing in (*self._handing, *self._packing.values()):
            handing.cancel()

    async def run(self) -> None:
        """Hand accepted jobs to Ganga for ever, the oldest first, local ones while there are free cores."""
        while True:
            await self._due.wait()
            self._due.clear()
            self._local_waits = False
            for job in self._store.accepted():
                async with self.only_this(job):
                    await self._consider(job)

    async def _consider(self, job: dict[str, Any]) -> None:
        """Hand a job over if those that it needs are done and, for a local one, a core is free."""
        if not self._may_start(job):
            return
        if packs.is_asked(job) and await asyncio.to_thread(spool.pack, Path(job["folder"])) is None:
            self._pack(job)
        elif job["backend"] == "Local" and not self._fits(job):
            self._wait(job, f"It waits for a free core: local jobs may use {self._settings.slots} at a time.")
        elif clusters.is_spooled(job) and len(self._being_sent) >= _UPLOADS:
            self._wait(job, "It waits until the files of other jobs have been sent to their schedd.")
        elif self._store.begin_handing(job["id"]):
            await self._hand_one(job)

    def _pack(self, job: dict[str, Any]) -> None:
        """Pack a job's environment, while others are handed over; then it is considered again."""
        if job["id"] in self._packing:
            return
        self._store.change_tasks(job["id"], reason=packs.REASON)
        self._changed(job["id"])
        self._packing[job["id"]] = asyncio.ensure_future(self._pack_for(job))

    async def _pack_for(self, job: dict[str, Any]) -> None:
        try:
            await self._packs.give(Path(job["folder"]))
            sent = {**job, "tasks": len(job["tasks"])}
            await asyncio.to_thread(backends.check_site, sent, job["limits"], self._settings.spool)
        except Exception as error:
            if not isinstance(error, GangaKernelError):
                log.exception("job %s", job["id"])
            now = self._store.job(job["id"])
            if now and not ended(summary(now)["state"]):  # it may have been killed meanwhile
                self.end_unstarted(job, "refused", sentence(error))
        finally:
            del self._packing[job["id"]]
        self.soon()

    def _fits(self, job: dict[str, Any]) -> bool:
        """Whether there are free cores for all tasks of a local job, and no older job waits for some."""
        running = self._watching.local
        fits = not running or running + len(job["tasks"]) <= self._settings.slots
        self._local_waits |= not fits
        return fits and not self._local_waits

    def _sources(self, job: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The jobs that this one needs, and what it takes from each."""
        return [
            (self._by_token(token), {"names": names, "same": same}) for token, names, same in job["after"]
        ]

    def _by_token(self, token: str) -> dict[str, Any]:
        found = self._store.newest_of(token)
        if found is None:
            raise BackendError("A job that this one needs is not in the store.", "Run that cell again.")
        return summary(found)

    def _may_start(self, job: dict[str, Any]) -> bool:
        """Whether all jobs that this one needs are done; if one of them ended otherwise, so does this one."""
        before = [one for one, _ in self._sources(job)]
        failed = next((one for one in before if ended(one["state"]) and one["state"] != "done"), None)
        if failed is not None:
            self.end_unstarted(job, "skipped", "", dependencies.inherited(failed))
            return False
        waits = dependencies.waits_for(before)
        if waits and waits != job["tasks"][0]["reason"]:
            self._store.change_tasks(job["id"], reason=waits)
            self._changed(job["id"])
        return not waits

    @contextlib.asynccontextmanager
    async def only_this(self, job: dict[str, Any]) -> AsyncIterator[None]:
        """Whatever goes wrong with one job ends that job, and no other; one that was to be killed is."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, GangaKernelError):
                log.exception("job %s", job["id"])
            now = self._store.job(job["id"])
            killed = now is not None and now["kill_asked"]
            self.end_unstarted(job, "killed" if killed else "refused", "" if killed else sentence(error))

    async def _hand_one(self, job: dict[str, Any]) -> None:
        """Hand a job to Ganga, which submits one at a time; returns when the next one may be made ready."""
        if dividing.is_due(job):
            await self._divide(job)
        fields, commands = await asyncio.to_thread(self._make_ready, job, self._sources(job))
        await self._places.acquire()
        if clusters.is_spooled(job):
            self._being_sent.add(job["id"])
        handing = asyncio.ensure_future(self._submit(job, fields, commands))
        self._handing.add(handing)
        handing.add_done_callback(self._handing.discard)
        if job["backend"] == "Local":  # the next one is to see which cores this one uses
            await handing

    async def _divide(self, job: dict[str, Any]) -> None:
        """Divide a map's items among the slots that match, as the last thing before it is submitted."""
        most = backends.most_tasks(job, self._settings.spool)
        described = {**await self._slots.divide(job, most), "most": most}
        with self._store:
            more = len(described["chunks"]) - len(job["tasks"])
            state = job["tasks"][0]["state"]
            job["tasks"] += self._store.add_tasks(job["id"], state, max(0, more))
            self._store.change_job(job["id"], map=described)
        job["map"] = described
        await asyncio.to_thread(spool.set_chunks, Path(job["folder"]), described["chunks"])

    def _make_ready(
        self, job: dict[str, Any], sources: list[tuple[dict[str, Any], dict[str, Any]]]
    ) -> tuple[dict[str, Any], list[list[str]]]:
        """What `GangaSession.submit` needs for a job, whose files are all in place then."""
        folder = Path(job["folder"])
        sharing = 1 if job["backend"] == "HTCondor" else len(job["tasks"])  # else each has a sandbox
        spool.renew_key(folder, sharing)
        dependencies.bring(folder, sources)
        fields, commands = backends.prepare(job["backend"], job, self._settings.spool)
        if job["backend"] == "HTCondor":
            fields["max_idle"] = self._settings.max_idle
        if rehearsing.is_on(job):
            fields["items"] = fields["items"][:1]
        return fields, commands

    async def _submit(self, job: dict[str, Any], fields: dict[str, Any], commands: list[list[str]]) -> None:
        """Have Ganga submit a job, and watch it from then on."""

        def submit() -> tuple[int, str]:
            number = self._ganga.session.submit(job["token"], job["backend"], fields, commands)
            return number, self._native(job, number)

        async with self.only_this(job):
            try:
                number, native = await self._ganga.call(submit)
            finally:
                self._places.release()
            await self.upload(job, native)
            self._note_handed(job, number, native)
            await self._in_queue(job["id"])
        if job["id"] in self._being_sent:
            self._being_sent.discard(job["id"])
            self.soon()

    async def upload(self, job: dict[str, Any], native: str) -> None:
        """Return when the schedd has the files of a cluster, if they are spooled to it.

        Raises
        ------
        BackendError: they can't be sent, and the cluster was removed.
        """
        if clusters.is_spooled(job):
            upload = spooled.upload(clusters.where(job), int(native))
            if job["handed"] != 2 and not upload.ended:
                self._store.change_tasks(job["id"], reason="Its files are being sent to the schedd.")
                self._changed(job["id"])
            self._uploads[job["id"]] = upload
            if (now := self._store.job(job["id"])) and now["kill_asked"]:
                upload.stop()
            try:
                while not upload.ended:
                    await asyncio.sleep(_LOOK)
            finally:
                del self._uploads[job["id"]]
            await asyncio.to_thread(upload.result)

    def stop_upload(self, number: int) -> None:
        """A job is to be killed: what is left of its files needn't be sent."""
        if number in self._uploads:
            self._uploads[number].stop()

    def _wait(self, job: dict[str, Any], reason: str) -> None:
        """Say why a job waits before its backend has it."""
        if job["tasks"][0]["reason"] != reason:
            self._store.change_tasks(job["id"], state="queued", reason=reason)
            self._changed(job["id"])

    def end_unstarted(
        self, job: dict[str, Any], state: str, reason: str, error: dict[str, Any] | None = None
    ) -> None:
        """End a job that its backend never had."""
        self._store.change_tasks(job["id"], error=error, **progress.unstarted(state, reason, time.time()))
        self._changed(job["id"])

    def _native(self, job: dict[str, Any], number: int) -> str:
        """What its backend calls a job that Ganga has; called in Ganga's thread."""
        session = self._ganga.session
        parts = session.backends_of(number)
        return backends.native(
            job["backend"], session.backend_of(number), parts, session.output_folders(number)
        )

    def _note_handed(self, job: dict[str, Any], number: int, native: str) -> None:
        with self._store:
            self._note_in_queue(job, handed=2, ganga_id=number, native=native)
            self._store.change_tasks(job["id"], state="queued", reason="")

    def _note_in_queue(self, job: dict[str, Any], **columns: Any) -> None:
        if job["backend"] == "HTCondor":
            columns["clusters"] = [[int(columns["native"]), 0, _at_first(job)]]
        self._store.change_job(job["id"], submitted=time.time(), **columns)

    async def find_again(self, job: dict[str, Any]) -> None:
        """A broker died while it handed this job over: find out whether it got through.

        A schedd that doesn't answer is asked again until it does: nothing else can tell.
        """
        while await asyncio.to_thread(backends.is_being_sent, job):
            await asyncio.sleep(_LOOK_AT_OTHERS)
        while True:
            try:
                return await self._find_once(job)
            except ScheddUnreachable as error:
                self._store.change_tasks(job["id"], reason=f"It is to be found again: {error}")
                self._changed(job["id"])
                await asyncio.sleep(_AGAIN)

    async def _find_once(self, job: dict[str, Any]) -> None:
        native, is_spooled = None, clusters.is_spooled(job)
        if is_spooled:  # Ganga may know it with a cluster whose files didn't all come: the schedd tells
            native = await asyncio.to_thread(backends.adopt, job)
        number = await self._ganga.call(partial(self._ganga.session.find, job["token"]))
        if number is not None:
            known = await self._ganga.call(partial(self._native, job, number))
            if known == native or not is_spooled:
                self._note_handed(job, number, known)
                return
        if not is_spooled:
            native = await asyncio.to_thread(backends.adopt, job)
        if native is None:
            self._store.change_job(job["id"], handed=0)
        else:
            self._note_in_queue(job, handed=2, native=native)


def _at_first(job: dict[str, Any]) -> int:
    """How many tasks of a job HTCondor gets at first."""
    return 1 if rehearsing.is_on(job) else len(job["tasks"])
