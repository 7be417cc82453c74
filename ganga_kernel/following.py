"""Jobs that a notebook shows: their states and outputs as the broker tells them, and their delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from . import failures, itemview, outputfiles
from .broker.client import Event
from .calls import Bridge
from .cells import LiveCell, Screen
from .errors import GangaKernelError
from .spool import secret


class Ask(Protocol):
    """Asks the broker; see `BrokerClient.ask`."""

    def __call__(self, op: str, **arguments: Any) -> Awaitable[Any]:
        """Its answer."""


class Following:
    """All jobs that one notebook shows.

    Parameters
    ----------
    ask: asks the broker
    spawn: runs work in the event loop

    Attributes
    ----------
    cells: what shows a job, by the job's number
    pending: tokens of jobs that have yet to deliver
    """

    _bridge: Bridge
    _screen: Screen

    def __init__(self, ask: Ask, spawn: Callable[[Awaitable[None]], None]) -> None:
        self._ask, self._spawn = ask, spawn
        self.cells: dict[int, LiveCell] = {}
        self.pending: set[str] = set()
        #: Jobs whose results were taken, or couldn't be, of which the broker has yet to hear.
        self._taken: dict[int, bool] = {}

    def join(self, bridge: Bridge, screen: Screen) -> None:
        """See `Notebook.join`."""
        self._bridge, self._screen = bridge, screen

    async def guest(self, number: int, parent: dict[str, Any]) -> LiveCell:
        """What shows a job, perhaps one that wasn't started here: it is shown below, and not delivered.

        Parameters
        ----------
        parent: the request under which it is to be shown

        Raises
        ------
        BackendError: there is no such job.
        """
        if number not in self.cells:
            found = await self._ask("follow", job=number, after=0)
            guest = LiveCell(found["job"], parent, self._screen, [])
            self.cells[number] = guest
            guest.draw()
            await self.follow(guest)
        return self.cells[number]

    def newest_of(self, token: str) -> str:
        """The token of a job, or of the one as which it was submitted once more, the newest."""
        later = [live.job["token"] for live in self.cells.values() if live.replaces == token]
        return self.newest_of(later[-1]) if later else token

    async def at(self, job: dict[str, Any], parent: dict[str, Any], hints: list[str]) -> LiveCell:
        """Where a job of ours shows: if it shows elsewhere in this notebook already, it moves.

        It is the last to await anything before the names are pending, so that no delivery comes in between.
        """
        folder = Path(job["folder"])
        live = self.cells.get(job["id"])
        if live is None:
            live = self.cells[job["id"]] = LiveCell(job, parent, self._screen, hints, folder)
            return live
        if live.finishing:
            await live.ended.wait()
        live.move(parent, hints, folder)
        return live

    def heard(self, event: Event) -> None:
        """Take in what the broker tells."""
        number = event["job"]["id"] if event["kind"] == "job" else event["job"]
        live = self.cells.get(number)
        if live is not None:
            self._take_in(live, event)

    def _take_in(self, live: LiveCell, event: Event) -> None:
        if event["kind"] == "job":
            if live.update(event["job"]):
                self._spawn(self._finish(live))
        elif event["kind"] == "restart":
            live.begin_anew(event["next"])
        elif not live.show(event["number"], event["output"]):
            self._spawn(self.follow(live))

    async def _tell_taken(self) -> None:
        for number, taken in list(self._taken.items()):
            await self._ask("delivered", job=number, taken=taken)
            self._taken.pop(number, None)

    def lost(self) -> None:
        """Something that the broker told was lost: ask again."""
        self._spawn(self._tell_taken())
        for live in self.cells.values():
            if not live.ended.is_set():
                self._spawn(self.follow(live))

    async def follow(self, live: LiveCell) -> None:
        """Catch up with a job: its state, and the outputs that weren't seen yet."""
        found = await self._ask("follow", job=live.job["id"], after=live.next_output)
        if found["first"] > live.next_output:  # the job started anew meanwhile
            live.begin_anew(found["first"])
        for one in found["outputs"]:
            live.show(one["number"], one["output"])
        if live.update(found["job"]):
            await self._finish(live)

    async def _finish(self, live: LiveCell) -> None:
        """The job has ended: deliver its names or its failure, and draw the last panel."""
        try:
            results = await self._results(live) if live.job["items"] else {}
            if live.job["state"] == "done":
                if live.folder is not None and self.newest_of(live.job["token"]) == live.job["token"]:
                    await self._deliver(live, live.folder, results.get("tasks"))
            else:
                await self._fail(live)
        except (GangaKernelError, OSError, ValueError) as error:
            self._refuse(live, str(error))
        finally:
            live.draw()
            live.ended.set()

    async def _fail(self, live: LiveCell) -> None:
        failure = failures.of_job(live)
        assert failure is not None
        if live.job["state"] != "failed" or live.job["items"]:  # else the cell has shown its error itself
            live.show_error(failure.ename, failure.evalue, failure.traceback)
        reason = f"{failure.ename}: {failure.evalue}"
        await self._bridge.call("fail", token=live.job["token"], reason=reason)

    async def _results(self, live: LiveCell) -> dict[str, Any]:
        """What a map that has ended left; the outputs of its items are shown."""
        found: dict[str, Any] = await self._ask("results", job=live.job["id"])
        if found["items"]:
            live.show_items(itemview.bundle(live.job, found["items"], found["with_outputs"]))
        return found

    async def _deliver(self, live: LiveCell, folder: Path, tasks: list[dict[str, Any]] | None = None) -> None:
        """Deliver a job's names.

        Parameters
        ----------
        tasks: what each task of a map left; None if the cell ran once
        """
        job = live.job
        by_token = {one.job["token"]: one for one in self.cells.values()}
        for token in live.after:  # its result may refer to what theirs brings
            if token in by_token:
                await by_token[token].ended.wait()
        files = await asyncio.to_thread(outputfiles.bring, job, folder, tasks)
        if tasks is None:
            answer = await self._bridge.call(
                "deliver",
                path=str(folder / job["result"]["file"]),
                signature=job["result"]["signature"],
                token=job["token"],
                key=secret(folder),
                job_file=str(folder / "job.json"),
            )
        else:
            gone = [task for task in tasks if not task["result"]]
            answer = await self._bridge.call(
                "deliver_map",
                results=_by_job(task for task in tasks if task["result"]),
                lost=[(task["items"], task["ename"], task["evalue"]) for task in gone],
                count=job["items"]["of"],
                token=job["token"],
                job_file=str(folder / "job.json"),
            )
        self._taken[job["id"]] = "error" not in answer
        self._spawn(self._tell_taken())
        if "error" in answer:
            self._refuse(live, answer["error"])
            return
        self.pending.discard(job["token"])
        live.hints += files
        if answer["kept"]:
            live.hints.append(f"Kept as you set them meanwhile: {', '.join(answer['kept'])}.")
        if answer["changed"]:
            live.hints.append(
                f"Changed by the job, and here too, so kept as here: {', '.join(answer['changed'])}."
            )
        for name, reason in answer["unavailable"].items():
            live.hints.append(f"{name} could not come back: {reason}")

    def _refuse(self, live: LiveCell, why: str) -> None:
        """The result isn't taken: the panel says why, and below it stands an error, as for a failed job."""
        live.refuse_delivery(why)
        failure = failures.of_job(live)
        if live.job["state"] == "done" and failure is not None:
            live.show_error(failure.ename, failure.evalue, failure.traceback)


def _by_job(tasks: Iterable[dict[str, Any]]) -> list[list[tuple[str, str, str, int]]]:
    """The results of a map's tasks, grouped by their jobs: file, the job's key, signature and last item."""
    found = []
    for folder, of_job in groupby(tasks, key=lambda task: Path(task["folder"])):
        key = secret(folder)
        results = [(task["result"], task["last"]) for task in of_job]
        found.append([(str(folder / one["file"]), key, one["signature"], last) for one, last in results])
    return found
