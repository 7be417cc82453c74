"""Tasks that a job gets after it was submitted: handed on by others, or held back by a rehearsal.

HTCondor gets them as further clusters of the same job. What is on its way is stored before it is submitted,
so that a broker that dies meanwhile submits none twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .. import spool
from ..errors import ScheddUnreachable, sentence
from ..settings import GangaKernel
from . import backends, clusters, rehearsing
from .progress import unstarted
from .store import Store
from .watching import Watching

log = logging.getLogger(__name__)

#: Seconds for which items that tasks hand on are gathered, before HTCondor gets them.
_GATHER = 1.0
#: Seconds between two looks whether a process of a broker that died still sends files.
_LOOK = 0.5
#: Seconds until a schedd that didn't answer is asked again.
_AGAIN = 10.0


class Sending:
    """Sends them.

    Parameters
    ----------
    add_cluster: has Ganga submit a further cluster of a job, as `backends.further` describes it; its number
    """

    def __init__(
        self,
        settings: GangaKernel,
        store: Store,
        watching: Watching,
        add_cluster: Callable[[dict[str, Any], tuple[Any, ...]], Awaitable[int]],
    ) -> None:
        self._settings, self._store, self._watching = settings, store, watching
        self._add_cluster = add_cluster
        self._jobs: dict[int, asyncio.Future[None]] = {}

    def send(self, number: int) -> None:
        """HTCondor is to get those tasks of a job that it doesn't have yet."""
        if number not in self._jobs:
            self._jobs[number] = sending = asyncio.ensure_future(self._send(number))
            sending.add_done_callback(lambda _: self._jobs.pop(number, None))

    def stop(self) -> None:
        """Leave the rest to the next broker."""
        for sending in self._jobs.values():
            sending.cancel()

    async def _send(self, number: int) -> None:
        """Submit further clusters until HTCondor has all tasks of a job.

        Tasks began at about the same time, and hand on at about the same time: one cluster serves them all.
        """
        while any(clusters.unsent(self._row(number))):
            await asyncio.sleep(_GATHER)
            job = self._row(number)
            if job["kill_asked"]:
                self._watching.not_sent(number, unstarted("killed", "", time.time()))
                return
            if rehearsing.waits(job):
                continue
            if rehearsing.failed(job):
                self._watching.not_sent(number, unstarted("skipped", rehearsing.sentence(job), time.time()))
                return
            try:
                await self._send_further(job)
            except ScheddUnreachable as error:
                self._watching.not_sent(number, {"reason": f"It will be tried again: {error}"})
                await asyncio.sleep(_AGAIN)
            except Exception as error:
                log.exception("job %s", number)
                killed = self._row(number)["kill_asked"]
                ends = unstarted(*(("killed", "") if killed else ("refused", sentence(error))), time.time())
                self._watching.not_sent(number, ends)
                return

    def _row(self, number: int) -> dict[str, Any]:
        job = self._store.job(number)
        assert job is not None
        return job

    async def _send_further(self, job: dict[str, Any]) -> None:
        """Submit one further cluster, of all tasks that HTCondor doesn't have yet.

        An earlier broker may have died after it had submitted it: then it is found by its attribute.
        """
        first = clusters.sent(job["clusters"])
        cluster = None
        if job["sending"]:
            while await asyncio.to_thread(backends.is_being_sent, job):
                await asyncio.sleep(_LOOK)
            cluster = await asyncio.to_thread(backends.find_further, job, first)
        if cluster is None:
            job["sending"] = len(job["tasks"])
            self._store.change_job(job["id"], sending=job["sending"])
            if rehearsing.is_on(job) and first == 1:
                self._ask_as_learnt(job)
            await asyncio.to_thread(spool.set_chunks, Path(job["folder"]), job["map"]["chunks"])
            described = await asyncio.to_thread(
                backends.further, job, first, self._settings.spool, self._settings.max_idle
            )
            cluster = await self._add_cluster(job, described)
        known = [*job["clusters"], [cluster, first, job["sending"]]]
        self._store.change_job(job["id"], clusters=known, sending=0)
        self._watching.sent(job["id"], known)
        if self._row(job["id"])["kill_asked"]:  # while it was on its way
            await asyncio.to_thread(backends.remove, {**job, "clusters": known})

    def _ask_as_learnt(self, job: dict[str, Any]) -> None:
        """What a map's first task used says what the others are asked for with."""
        job["resources"] |= rehearsing.learnt(job)
        self._store.change_job(job["id"], resources=job["resources"])
        self._watching.asked_for(job["id"], job["resources"])
