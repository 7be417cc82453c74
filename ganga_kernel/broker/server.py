"""The broker's socket: requests in, answers and numbered events out."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
import uuid
from typing import Any

import zmq
import zmq.asyncio

from ..errors import BrokerError, GangaKernelError, ProtocolMismatch, to_wire
from ..folders import sweep
from ..settings import GangaKernel
from ..version import __version__
from . import attaching, protocol, reading
from .jobs import Jobs
from .lease import HEARTBEAT, Lease
from .logs import OUTPUTS, logs
from .store import Store

log = logging.getLogger(__name__)

#: Seconds without a word after which a client counts as gone; clients ping every second or two.
_GONE = 15.0


class Client:
    """A connected grid kernel: what it follows, and the number of its next event."""

    def __init__(self) -> None:
        self.jobs: set[int] = set()
        self.sent = 0
        self.seen = time.monotonic()


class Server:
    """Serves one state folder until nobody needs it."""

    def __init__(self, settings: GangaKernel, lease: Lease) -> None:
        self._settings, self._lease = settings, lease
        self._epoch = uuid.uuid4().hex
        self._clients: dict[bytes, Client] = {}
        self._path = protocol.socket_path(settings)
        self._store = Store(settings.state / "jobs.sqlite")
        self._tasks: set[asyncio.Future[Any]] = set()

    async def run(self, ready: Any) -> None:
        """Serve. Calls `ready` once the socket is open; returns when it is time to end."""
        self._jobs = Jobs(self._settings, self._store, self._tell)
        context = zmq.asyncio.Context()
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 500
        self._socket.sndhwm = self._socket.rcvhwm = 0
        self._path.unlink(missing_ok=True)
        self._socket.bind(f"ipc://{self._path}")
        ready()
        work = asyncio.create_task(self._jobs.run())
        lost = asyncio.create_task(self._loss_of(work))
        serve = asyncio.create_task(self._serve())
        keep = asyncio.create_task(self._keep())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, keep.cancel)
        done, _ = await asyncio.wait({serve, keep, lost}, return_when=asyncio.FIRST_COMPLETED)
        for task in (serve, work, lost):
            task.cancel()
        await self._jobs.close()
        context.destroy(linger=500)
        self._store.close()
        self._path.unlink(missing_ok=True)
        for task in done - {keep}:
            task.result()

    @staticmethod
    async def _loss_of(work: asyncio.Task[None]) -> None:
        """Return only if the work on jobs failed. (It ends well where Ganga can't be loaded.)"""
        await work
        await asyncio.Event().wait()

    async def _serve(self) -> None:
        while True:
            identity, frame = await self._socket.recv_multipart()
            try:
                request = protocol.decode(frame)
            except ValueError:
                log.warning("not a request: %r", frame[:80])
                continue
            if request.get("op") == "bye":
                self._clients.pop(identity, None)
                continue
            if request.get("op") == "hello":
                self._clients[identity] = Client()
            client = self._clients.get(identity)
            if client is None:  # it was silent for too long, and must follow its jobs again
                await self._send(identity, {"id": request.get("id"), "result": "", "stranger": True})
                continue
            client.seen = time.monotonic()
            task = asyncio.create_task(self._answer(identity, client, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, identity: bytes, client: Client, request: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"id": request.get("id")}
        try:
            answer["result"] = await self._do(client, request)
        except GangaKernelError as error:
            answer["error"] = to_wire(error)
        except Exception as error:
            log.exception("in %s", request.get("op"))
            answer["error"] = to_wire(
                BrokerError(
                    f"The broker failed: {type(error).__name__}: {error}.",
                    f"Its log is {self._settings.state / 'broker.log'}.",
                )
            )
        await self._send(identity, answer)

    async def _send(self, identity: bytes, message: dict[str, Any]) -> None:
        await self._socket.send_multipart([identity, protocol.encode(message)])

    async def _do(self, client: Client, request: dict[str, Any]) -> Any:
        op = request.get("op")
        if op == "ping":
            return self._epoch
        if op == "hello":
            return self._hello(request)
        if op == "describe":
            return await self._jobs.describe({name: request[name] for name in protocol.SUBMIT})
        if op == "submit":
            fields = {name: request[name] for name in protocol.SUBMIT}
            job = await self._jobs.add(fields, request["attach"])
            client.jobs.add(job["id"])
            return job
        if op == "follow":
            job = self._jobs.job(request["job"])
            client.jobs.add(job["id"])
            if job["items"]:
                return {"job": job, "first": 0, "outputs": []}
            return {
                "job": job,
                "first": self._store.first_output(job["id"]),
                "outputs": self._store.outputs(job["id"], request["after"]),
            }
        if op == "resubmit":
            asked = {name: request[name] for name in protocol.RESUBMIT}
            job = await self._jobs.resubmit(request["job"], **asked)
            client.jobs.add(job["id"])
            return job
        if op == "results":
            return self._jobs.results(request["job"])
        if op == "logs":
            return await self._logs(request["job"], request["task"])
        if op == "read":
            return await self._read(**{name: request[name] for name in ("job", "task", "what", "after")})
        if op == "jobs":
            return [self._jobs.job(number) for number in self._store.newest(request["limit"])]
        if op == "kill":
            return await self._jobs.kill(request["job"], request["task"])
        if op == "act":
            return await self._jobs.act(request["job"], request["action"])
        if op == "change":
            return await self._jobs.change(request["job"], request["resources"])
        if op == "delivered":
            delivered = attaching.TAKEN if request["taken"] else attaching.REFUSED
            return self._store.change_job(request["job"], delivered=delivered)
        if op == "status":
            return {"pid": os.getpid(), "version": __version__, **await self._jobs.status()}
        raise BrokerError(f"The broker doesn't know {op!r}.", "Restart the kernel.")

    async def _logs(self, job: int, task: int | None) -> dict[str, Any]:
        row = self._jobs.row(job)
        if task is None and len(row["tasks"]) > 1:
            return await asyncio.to_thread(logs, row)
        task = reading.task_of(row, task)
        return await asyncio.to_thread(logs, row, task, self._store.last_outputs(job, task, OUTPUTS))

    async def _read(
        self, job: int, task: int | None, what: list[str], after: dict[str, int]
    ) -> dict[str, Any]:
        row = self._jobs.row(job)
        task = reading.task_of(row, task)
        outputs = self._store.outputs_of(job, task, after.get("output", 0), reading.OUTPUTS)
        return await asyncio.to_thread(reading.read, row, task, what, outputs, after)

    def _hello(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("protocol") != protocol.PROTOCOL:
            raise ProtocolMismatch(
                f"The broker (ganga-kernel {__version__}, pid {os.getpid()}) speaks protocol "
                f"{protocol.PROTOCOL}, this kernel {request.get('protocol')}.",
                "Another version of ganga-kernel started it: close its notebooks, and it ends by "
                "itself when its jobs are done.",
            )
        return {"epoch": self._epoch, "version": __version__, "pid": os.getpid()}

    def _tell(self, kind: str, what: dict[str, Any]) -> None:
        """Send an event to all who follow the job."""
        number = what["job"]["id"] if kind == "job" else what["job"]
        for identity, client in self._clients.items():
            if number in client.jobs:
                client.sent += 1
                event = {"event": client.sent, "epoch": self._epoch, "kind": kind, **what}
                task = asyncio.ensure_future(self._send(identity, event))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _keep(self) -> None:
        """Keep the lease; return when nobody is connected and nothing is in flight for long enough."""
        idle_since: float | None = None
        last_beat = 0.0
        while True:
            await asyncio.sleep(min(1.0, self._settings.broker_idle / 4))
            now = time.monotonic()
            if now - last_beat > HEARTBEAT:
                last_beat = now
                await asyncio.to_thread(self._lease.beat)
            for identity in [i for i, c in self._clients.items() if now - c.seen > _GONE]:
                del self._clients[identity]
            sweep(self._path.parent)  # a kernel that was killed can't do it
            if self._clients or not self._jobs.idle:
                idle_since = None
                if not self._clients and not self._jobs.local and self._lease.wanted():
                    log.info("another host asks for the state folder")
                    return
                continue
            idle_since = now if idle_since is None else idle_since
            if now - idle_since > self._settings.broker_idle or self._lease.wanted():
                log.info("nobody is connected and nothing is in flight")
                return
