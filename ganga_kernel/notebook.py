"""What the grid kernel does for one notebook: batch cells to jobs, pending names, waiting.

It knows cells, names and outputs; how a message travels is the kernel's business (`Screen`), how a backend
works is the broker's. Everything here runs in the grid kernel's event loop, but for `Notebook.admit` and
`Notebook.interrupt`, which the router's thread calls.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from . import dryrun, failures, inputfiles, jobrequest, maps, options, outputfiles, reattach
from .anyjob import AnyJob
from .broker.client import BrokerClient
from .calls import Bridge
from .cells import LiveCell, Screen
from .errors import BrokerError, CellError, GangaKernelError, SettingsError
from .execution import Refusal
from .failures import Failure, Interrupted, JobFailed
from .following import Following
from .jobrequest import DEFAULT_BACKEND
from .options import Options
from .routing import BatchCell, route
from .settings import GangaKernel
from .spool import Spool, execution_count, remove
from .states import ended

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_OFFER = (
    "An HTCondor schedd is in reach: %%batch --backend HTCondor sends a cell there, "
    "%batch --backend HTCondor all of this notebook's."
)


class Asking(Protocol):
    """Who asks for a batch cell: the request's parent header and what it tells of the front end."""

    parent: dict[str, Any]
    number: int
    late: bool


class Notebook:
    """One notebook's batch cells.

    Parameters
    ----------
    settings: the site's and user's settings, or the error that reading them gave: ordinary cells work
        all the same

    Attributes
    ----------
    any_job: what magics do with jobs of other notebooks as well
    """

    _bridge: Bridge
    _screen: Screen

    def __init__(self, settings: GangaKernel | SettingsError) -> None:
        self._given = settings
        #: Where the notebook is; empty where the front end doesn't tell.
        self._path = os.environ.get("JPY_SESSION_NAME", "")
        self._defaults = Options()
        self._jobs = Following(self._ask, self._spawn)  # from here on, as the router asks what is pending
        self._killed: set[int] = set()
        self._offered = False
        self._client: BrokerClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_waiting = asyncio.Event()
        self.any_job = AnyJob(self._ask, self._or_interrupted)
        self._tasks: set[asyncio.Task[Any]] = set()

    def join(self, bridge: Bridge, screen: Screen) -> None:
        """Give it its ways to the inner kernel and to the front end; to be called before `start`."""
        self._bridge, self._screen = bridge, screen
        self._jobs.join(bridge, screen)

    def start(self) -> None:
        """Begin, in the running event loop: start the broker while the user still types."""
        self._loop = asyncio.get_running_loop()
        self._spawn(self._bridge.mount())
        if isinstance(self._given, GangaKernel):
            self._client = BrokerClient(self._given, self._jobs.heard, self._jobs.lost)
            if self._given.start_broker:
                self._spawn(self._warm_up(self._client))

    def forget(self) -> None:
        """The inner kernel is a new process: nothing is pending in its empty namespace."""
        self._jobs.pending.clear()
        self._bridge.forget()
        self._spawn(self._bridge.mount())

    def close(self) -> None:
        """End; jobs go on."""
        for task in self._tasks:
            task.cancel()
        if self._client is not None:
            self._client.close()

    # ------------------------------------------------------------------ what magics do

    async def take(self, source: str, store: bool) -> int:
        """The In[n] of a cell that the grid kernel answers."""
        return int(await self._bridge.call("take", source=source, store=store))

    async def begin_cell(
        self, code: str, metadata: dict[str, Any], store: bool, numbered: bool
    ) -> tuple[int, dict[str, Any] | None]:
        """The In[n] of a cell that the grid kernel answers; and of a batch cell what it reads, for `run`.

        Both come by one request. Where something has to be done before the capture there is none yet.

        Parameters
        ----------
        numbered: whether the cell counts; a silent one doesn't
        """
        cell = self._to_capture_at_once(code, metadata) if numbered else None
        if cell is None:
            return await self.take(code, store), None
        found = await self._bridge.call("begin", source=code, store=store, cell=cell)
        captured = found["captured"] and {**found["captured"], "map": None}
        return int(found["number"]), captured

    def _to_capture_at_once(self, code: str, metadata: dict[str, Any]) -> dict[str, Any] | None:
        """The arguments of the capture of a batch cell that isn't run again, and is no map."""
        try:
            cell = route(code, metadata)
            if not isinstance(cell, BatchCell):
                return None
            chosen = self._options(cell)
            identity = jobrequest.identity_of(metadata, cell)
            if chosen.map or any(live.cell == identity for live in self._jobs.cells.values()):
                return None
            return {"source": cell.source, **self._how_to_capture(chosen, Spool(self._settings.spool))}
        except GangaKernelError:  # `run` meets it as well, and tells
            return None

    def _how_to_capture(self, chosen: Options, spool: Spool) -> dict[str, Any]:
        return {
            "objects": str(spool.objects),
            "compare": reattach.has_identity(chosen, self._path),
        }

    async def evaluate(self, expressions: dict[str, str]) -> dict[str, Any]:
        """The user_expressions of a cell that was answered here."""
        return dict(await self._bridge.call("evaluate", expressions=expressions)) if expressions else {}

    async def run(
        self, cell: BatchCell, asking: Asking, captured: dict[str, Any] | None = None
    ) -> Failure | None:
        """Run a batch cell: returns when its job is accepted, or with the job where output comes late.

        Parameters
        ----------
        captured: what `begin_cell` has captured of it

        Raises
        ------
        GangaKernelError: nothing was submitted.
        """
        chosen = self._options(cell)
        spool = Spool(self._settings.spool)
        try:
            if captured is None or "waits" in captured:
                if not chosen.dry_run:
                    await self._supersede(jobrequest.identity_of(asking.parent["metadata"], cell))
                captured = await self._capture(cell.source, asking.number, spool, chosen)
        except JobFailed as failed:
            if chosen.dry_run:
                raise _nothing_to_send(failed.failure) from failed
            return failed.failure
        except Interrupted as interrupted:
            return Failure.interrupt(interrupted)
        if "error" in captured:
            return Failure(**captured["error"])
        try:
            if not chosen.dry_run:
                await self._until_written(chosen.input or (), asking, cell)
            captured["files"] = await self._files(captured["environment"]["directory"], chosen, spool)
        except JobFailed as failed:
            return failed.failure
        except Interrupted as interrupted:
            return Failure.interrupt(interrupted)
        if chosen.dry_run:
            await self._tell(cell, asking, chosen, captured, spool)
            return None
        live = await self._submit(cell, asking, chosen, captured, spool)
        return await self._shown(live, chosen, asking)

    async def resubmit(self, number: int, failed: bool, chosen: Options, asking: Asking) -> Failure | None:
        """Submit a job once more, or the failed items of its map; the names are pending again.

        A job that wasn't started here is only shown: its names come when its cell is run again.

        Raises
        ------
        BackendError: there is no such job, or nothing to run again.
        """
        before = self._jobs.cells.get(number)
        job = await self._broker.submit(
            "resubmit",
            job=number,
            token=uuid.uuid4().hex,
            failed=failed,
            resources=chosen.resources(),
            execution_count=asking.number,
        )
        if before is None or before.folder is None:
            hints = [f"It does once more what job {number} did; its names come when its cell is run again."]
            live = self._jobs.cells[job["id"]] = LiveCell(job, asking.parent, self._screen, hints)
        else:
            if job["beside"] != number:
                await before.ended.wait()  # the broker has seen its end
            await self._supersede(before.cell)
            items = job["items"]
            which = f"{items['total']} of {items['of']} items of " if failed and items else ""
            live = await self._jobs.at(job, asking.parent, [f"It runs {which}job {number} once more."])
            live.cell, live.replaces, live.brings = before.cell, before.job["token"], before.brings
            live.after = [self._jobs.newest_of(token) for token in before.after]
            await self._place(live, **{**before.placed, "number": asking.number, "replaces": live.replaces})
        self._spawn(self._jobs.follow(live))
        return await self._shown(live, chosen.over(self._all_defaults()), asking)

    async def _shown(self, live: LiveCell, chosen: Options, asking: Asking) -> Failure | None:
        """Draw a job's first panel, and wait for it where the cell ends with its job; returns its error."""
        live.draw()
        at_once = ended(live.job["state"])  # its results are there, and the next cell may need them
        if not at_once and not self._waits(chosen, asking):
            return None
        try:
            await self._until_ended(live)
        except Interrupted as interrupted:
            return Failure.interrupt(interrupted)
        return failures.of_job(live)

    def begin(self) -> None:
        """A cell of the grid kernel begins: an interrupt that came before it isn't for it."""
        self._stop_waiting.clear()

    def set_defaults(self, line: str) -> str:
        """Set the notebook's defaults from a ``%batch`` line, and say what they are."""
        given = options.for_many(options.from_line(line), "%batch")
        self._defaults = given.over(self._defaults)
        return self._all_defaults().over(Options(backend=DEFAULT_BACKEND)).describe()

    async def kill(self, number: int, task: int | None = None) -> dict[str, Any]:
        """Kill a job, or one task of it; returns the job's summary."""
        if task is None:
            self._killed.add(number)
        job: dict[str, Any] = await self._broker.ask("kill", job=number, task=task)
        return job

    async def wait(self, numbers: list[int], asking: Asking) -> list[dict[str, Any]]:
        """Wait for jobs, all unfinished ones of this notebook if none is named; returns summaries.

        A job that wasn't started here is shown under the waiting cell; its names are not delivered.

        Raises
        ------
        Interrupted: the user ended the wait.
        BackendError: there is no such job.
        """
        waiting = [await self._jobs.guest(number, asking.parent) for number in numbers] or [
            live for live in self._jobs.cells.values() if not live.ended.is_set()
        ]
        for live in waiting:
            await self._until_ended(live)
        return [live.job for live in waiting]

    async def show(self, number: int, asking: Asking) -> None:
        """Show a job's panel under the asking cell, kept up to date, and its buttons.

        Raises
        ------
        BackendError: there is no such job.
        """
        from .controls import Controls

        live = self._jobs.cells.get(number)
        if live is None:
            live = await self._jobs.guest(number, asking.parent)
        else:
            live.copy_panel(asking.parent)
        if not ended(live.job["state"]):
            controls = Controls(live.job, partial(self.kill, number), self._spawn)
            live.watchers.append(controls.update)
            content = {"data": controls.bundle(), "metadata": {}, "transient": {}}
            self._screen.publish("display_data", content, asking.parent)

    # ------------------------------------------------------------------ execution.Gate

    @property
    def closed(self) -> bool:
        """See `execution.Gate`."""
        return bool(self._jobs.pending)

    def admit(self, code: str, store: bool, done: Callable[[Refusal | None], None]) -> None:
        """See `execution.Gate`."""

        def begin() -> None:
            self._stop_waiting.clear()  # an interrupt that came before this cell isn't for it
            self._spawn(self._admit(code, store, done))

        assert self._loop is not None
        self._loop.call_soon_threadsafe(begin)

    def interrupt(self) -> None:
        """See `execution.Gate`."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop_waiting.set)

    async def _admit(self, code: str, store: bool, done: Callable[[Refusal | None], None]) -> None:
        failure: Failure | None = None
        number = 0
        try:
            failure = await self._hold(code)
            if failure is not None:
                number = await self.take(code, store)
        except GangaKernelError as error:
            failure = Failure.from_error(error)
        finally:
            done(failure.refusal(number) if failure else None)

    async def _hold(self, code: str) -> Failure | None:
        """Wait for what a cell needs; the reason if it can't have it."""
        try:
            while tokens := await self._needs(code):
                await self._until_delivered(tokens)
        except JobFailed as failed:
            return failed.failure
        except Interrupted as interrupted:
            return Failure.interrupt(interrupted)
        return None

    async def _needs(self, code: str) -> list[str]:
        found = await self._bridge.call("needs", source=code)
        self._jobs.pending &= set(found["pending"])
        return list(found["needed"])

    # ------------------------------------------------------------------ submitting

    def _options(self, cell: BatchCell) -> Options:
        chosen = self._all_defaults()
        chosen = options.from_mapping(cell.metadata, "the cell's metadata").over(chosen)
        chosen = options.from_mapping(cell.tags, "the cell's tags").over(chosen)
        chosen = options.from_line(cell.line).over(chosen)
        maps.check_merges(chosen.merge or (), chosen.map)
        maps.check_rehearsal(chosen.rehearse, chosen.map, chosen.backend or DEFAULT_BACKEND)
        return chosen

    def _all_defaults(self) -> Options:
        site = self._settings
        where = "GangaKernel.options"
        configured = options.for_many(options.from_mapping(site.options, where), where)
        return self._defaults.over(configured.over(Options(backend=site.backend or None, wait=site.wait)))

    def _waits(self, chosen: Options, asking: Asking) -> bool:
        return asking.late if chosen.wait is None else chosen.wait

    async def _capture(self, source: str, number: int, spool: Spool, chosen: Options) -> dict[str, Any]:
        """What the bridge captures for a cell, or its error; the items of its map are ``map`` in it."""
        given: dict[str, Any] | None = None
        how = self._how_to_capture(chosen, spool)
        if chosen.map:
            given = await self._captured(
                "capture_map", maps=maps.spell(chosen.map), merges=jobrequest.merges(chosen), **how
            )
            if "error" in given:
                return given
            backend, site = chosen.backend or DEFAULT_BACKEND, self._settings
            given |= maps.divided(given["count"], backend, site.slots, chosen.chunk, site.chunk_seconds)
        captured = await self._captured("capture", source=source, number=number, given=given, **how)
        if "error" not in captured:
            maps.check_bound(chosen.merge or (), captured["binds"])
        return {**captured, "map": given}

    async def _until_written(self, inputs: Iterable[str], asking: Asking, cell: BatchCell) -> None:
        """Wait for the jobs of other cells that are to write what a cell is to have.

        Raises
        ------
        JobFailed: one of them failed.
        Interrupted: the user ended the wait.
        """
        mine = jobrequest.identity_of(asking.parent["metadata"], cell)
        others = [live for live in self._jobs.cells.values() if live.cell != mine and not live.ended.is_set()]
        writers = [live.job["token"] for live in others if outputfiles.meet(live.brings, inputs)]
        await self._until_delivered(writers)

    @staticmethod
    async def _files(directory: str, chosen: Options, spool: Spool) -> dict[str, Any] | None:
        """The files that a cell is to have and to bring back: described for its job, and their state.

        Raises
        ------
        CellError: they aren't there.
        """
        if not (chosen.input or chosen.output):
            return None
        folder, travel = Path(directory), chosen.backend == "HTCondor"
        found = await asyncio.to_thread(inputfiles.look, folder, chosen.input or ())
        described = await asyncio.to_thread(
            inputfiles.described, folder, found, chosen.output or (), travel, spool.objects
        )
        return {"described": described, "state": inputfiles.state(found)}

    async def _supersede(self, cell: str) -> None:
        """A cell is run again: what its failed jobs were to bind or change has the value from before."""
        mine = [live for live in self._jobs.cells.values() if live.cell == cell]
        for live in mine:
            if live.job["id"] in self._killed:
                await self._until_ended(live)
        ended = [live for live in mine if live.ended.is_set()]
        tokens = [live.job["token"] for live in ended if failures.of_job(live) is not None]
        if tokens:
            await self._bridge.call("supersede", tokens=tokens)

    async def _captured(self, function: str, **arguments: Any) -> dict[str, Any]:
        """What a capturing function of the bridge answers, once the jobs that it waits for have delivered."""
        while True:
            captured: dict[str, Any] = await self._bridge.call(function, **arguments)
            if "waits" not in captured:
                return captured
            await self._until_delivered(captured["waits"])

    async def _submit(
        self, cell: BatchCell, asking: Asking, chosen: Options, captured: dict[str, Any], spool: Spool
    ) -> LiveCell:
        """Submit the job, or attach to the one that the cell has, and make its names pending.

        From its acceptance on nothing loses sight of it.
        """
        request = jobrequest.request(
            cell, self._path, asking.parent["metadata"], asking.number, chosen, captured, spool
        )
        after = captured["after"]
        job = await self._broker.submit(**request, attach=reattach.mode(chosen, self._path))
        attached = job["token"] != request["token"]
        if attached:
            remove(Path(request["folder"]))
            hints = [reattach.hint(job)]
        else:
            hints = [*jobrequest.hints(captured), *await self._offer(chosen)]
        live = await self._jobs.at(job, asking.parent, hints)
        live.early = jobrequest.unseen(captured, chosen)
        live.brings = chosen.output or ()
        live.after = [one for one, *_ in after]
        live.cell = jobrequest.identity_of(asking.parent["metadata"], cell)
        await self._place(
            live,
            behind=captured["behind"],
            surely=captured["surely"],
            sent=sorted({*captured["names"], *(name for _, names, _ in after for name in names)}),
            number=asking.number,
            was=execution_count(Path(job["folder"])) if attached else asking.number,
            attached=attached,
            is_map=request["map"] is not None,
            links=captured["links"],
            atoms=captured["atoms"],
            source=cell.source,
            merges=jobrequest.merges(chosen),
            replaces="",
        )
        self._spawn(self._jobs.follow(live))
        return live

    async def _tell(
        self, cell: BatchCell, asking: Asking, chosen: Options, captured: dict[str, Any], spool: Spool
    ) -> None:
        """Show what a cell's job would be, and submit nothing."""
        request = jobrequest.request(
            cell, self._path, asking.parent["metadata"], asking.number, chosen, captured, spool
        )
        try:
            told = await self._broker.ask("describe", **request)
        finally:
            remove(Path(request["folder"]))
        jobs = {live.job["token"]: number for number, live in self._jobs.cells.items()}
        text = dryrun.as_text(captured, chosen, request, told, jobs)
        self._screen.publish("stream", {"name": "stdout", "text": text}, asking.parent)

    async def _place(self, live: LiveCell, **how: Any) -> None:
        """Make a job's names pending; see the bridge's `place`."""
        job, live.placed = live.job, how
        self._jobs.pending.add(job["token"])
        await self._bridge.call(
            "place", names=job["names"], token=job["token"], job=job["id"], after=live.after, **how
        )

    async def _offer(self, chosen: Options) -> list[str]:
        """Mention HTCondor once, where nobody chose a backend and its schedd is in reach."""
        if chosen.backend is not None or self._offered:
            return []
        self._offered = True
        try:
            status = await self._broker.ask("status")
        except GangaKernelError:
            return []  # it was a hint only
        return [_OFFER] if status["schedd"] else []

    # ------------------------------------------------------------------ waiting

    async def _until_delivered(self, tokens: Iterable[str]) -> None:
        """Wait until the jobs of these tokens have ended and delivered.

        Raises
        ------
        JobFailed: one of them failed.
        Interrupted: the user ended the wait.
        """
        by_token = {live.job["token"]: live for live in self._jobs.cells.values()}
        for token in tokens:
            live = by_token[token]
            await self._until_ended(live)
            failure = failures.of_job(live)
            if failure is not None:
                raise JobFailed(failures.inherited(failure, live.job))

    async def _until_ended(self, live: LiveCell) -> None:
        await self._or_interrupted(live.ended.wait(), live.job["id"])

    async def _or_interrupted(self, awaited: Coroutine[Any, Any, _T], number: int) -> _T:
        """Wait for something of a job's.

        Raises
        ------
        Interrupted: the user ended the wait.
        """
        work = asyncio.ensure_future(awaited)
        stopped = asyncio.ensure_future(self._stop_waiting.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            raise Interrupted(number)
        finally:
            work.cancel()
            stopped.cancel()

    # ------------------------------------------------------------------ what the broker tells

    @property
    def _settings(self) -> GangaKernel:
        if isinstance(self._given, SettingsError):
            raise self._given
        return self._given

    async def _ask(self, op: str, **arguments: Any) -> Any:
        return await self._broker.ask(op, **arguments)

    @property
    def _broker(self) -> BrokerClient:
        if self._client is None:
            assert self._settings
            raise CellError("The kernel is still starting.", "Run the cell again.")
        return self._client

    # ------------------------------------------------------------------ housekeeping

    async def _warm_up(self, client: BrokerClient) -> None:
        try:
            await client.connect()
        except GangaKernelError:
            return  # the first batch cell tries again, and shows the error

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, BrokerError):
            log.info("%s", error)  # the connection is kept up, and jobs are followed again
        elif error is not None:
            log.error("in the grid kernel", exc_info=error)


def _nothing_to_send(failure: Failure) -> CellError:
    return CellError(
        "The cell reads a name that a failed job was to bind or change, so there is nothing to show yet "
        f"({failure.ename}: {failure.evalue}).",
        "If it was this very cell's job, just run the cell: it begins with the values from before.",
    )
