"""A grid kernel's way to the broker: starts it if need be, asks, and hears its events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import zmq
import zmq.asyncio

from ..errors import BrokerUnavailable, GangaKernelError, from_wire
from ..settings import GangaKernel
from ..version import __version__
from . import protocol

#: Seconds: for the first answer of a running broker, for a start, for any answer, between pings.
_FIRST, _START, _ANSWER, _PING = 0.3, 30.0, 60.0, 2.0
#: How often a job is submitted before it is given up.
_ATTEMPTS = 3

Event = dict[str, Any]


class _Forgotten(BrokerUnavailable):
    """The broker hasn't heard of this client for so long that it needs a new hello."""


class BrokerClient:
    """One connection, kept up as long as the kernel lives.

    Parameters
    ----------
    heard: called in the event loop with each event of a job that this client follows
    lost: called when events may have been missed: the broker is a new one; follow all jobs again
    """

    def __init__(
        self, settings: GangaKernel, heard: Callable[[Event], None], lost: Callable[[], None]
    ) -> None:
        self._settings, self._heard, self._lost = settings, heard, lost
        self._context = zmq.asyncio.Context()
        self._socket: zmq.asyncio.Socket | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._asked = 0
        self._epoch = ""
        self._last = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._connecting = asyncio.Lock()

    async def ask(self, op: str, **arguments: Any) -> Any:
        """Ask the broker; it is started if it doesn't run.

        Raises
        ------
        GangaKernelError: the error that the broker answers with.
        BrokerUnavailable: it can't be started, or doesn't answer.
        """
        await self.connect()
        try:
            return await self._ask(op, _ANSWER, arguments)
        except _Forgotten:
            self._epoch = ""
            await self.connect()
            return await self._ask(op, _ANSWER, arguments)

    async def submit(self, op: str = "submit", **job: Any) -> Any:
        """Submit a job, or one once more (`op` is "resubmit").

        It makes sure that it is accepted once: an answer that was lost is asked for
        again.

        Raises
        ------
        GangaKernelError: the job was not accepted; `BrokerUnavailable`: nobody knows.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return await self.ask(op, **job)
            except BrokerUnavailable:
                self._epoch = ""
                if attempt == _ATTEMPTS - 1:
                    raise

    async def connect(self) -> None:
        """Connect, if that isn't done yet; start the broker if it doesn't run."""
        async with self._connecting:
            if self._epoch:
                return
            self._open()
            try:
                await self._greet(_FIRST)
            except BrokerUnavailable:
                await self._start_and_greet()
            if len(self._tasks) == 1:
                self._tasks.append(asyncio.create_task(self._keep_alive()))
            else:
                self._lost()

    async def _start_and_greet(self) -> None:
        """Start a broker. Where one is just ending, which holds its lock till then, try again."""
        deadline = time.monotonic() + _START
        while True:
            started = await self._start()
            try:
                await self._greet(_ANSWER if started else _FIRST)
                return
            except BrokerUnavailable:
                if time.monotonic() > deadline:
                    raise

    def close(self) -> None:
        """Give the connection up."""
        for task in self._tasks:
            task.cancel()
        if self._socket is not None and self._epoch:
            self._socket.send(protocol.encode({"op": "bye"}), zmq.NOBLOCK)
        self._context.destroy(linger=100)  # milliseconds

    def _open(self) -> None:
        if self._socket is None:
            self._socket = self._context.socket(zmq.DEALER)
            self._socket.linger = 0
            self._socket.sndhwm = self._socket.rcvhwm = 0
            self._socket.reconnect_ivl = 20  # milliseconds
            self._socket.connect(f"ipc://{protocol.socket_path(self._settings)}")
            self._tasks.append(asyncio.create_task(self._receive()))

    async def _greet(self, patience: float) -> None:
        hello = await self._ask("hello", patience, {"protocol": protocol.PROTOCOL, "version": __version__})
        self._epoch, self._last = hello["epoch"], 0

    async def _ask(self, op: str, patience: float, arguments: dict[str, Any]) -> Any:
        assert self._socket is not None
        self._asked += 1
        number = self._asked
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(protocol.encode({"id": number, "op": op, **arguments}))
        try:
            return await asyncio.wait_for(future, patience)
        except TimeoutError as error:
            raise BrokerUnavailable(
                f"The broker didn't answer {op!r} within {patience:g} s.",
                f"Its log is {self._settings.state / 'broker.log'}.",
            ) from error
        finally:
            del self._waiting[number]

    async def _receive(self) -> None:
        assert self._socket is not None
        while True:
            message = protocol.decode(await self._socket.recv())
            if "event" in message:
                self._on_event(message)
                continue
            future = self._waiting.get(message["id"])
            if future is None or future.done():
                continue  # an answer to a question that was given up
            if message.get("stranger"):
                future.set_exception(_Forgotten("The broker has forgotten this kernel."))
            elif "error" in message:
                future.set_exception(from_wire(message["error"]))
            else:
                future.set_result(message["result"])

    def _on_event(self, event: Event) -> None:
        if event["epoch"] != self._epoch:
            return  # the ping notices the new broker
        missed = event["event"] != self._last + 1
        self._last = event["event"]
        self._lost() if missed else self._heard(event)

    async def _keep_alive(self) -> None:
        """Ping; when the broker is gone or another one, connect again and say that events were lost."""
        while True:
            await asyncio.sleep(_PING)
            try:
                epoch = await self._ask("ping", 5 * _PING, {})
            except BrokerUnavailable:
                epoch = ""
            if epoch != self._epoch:
                self._epoch = ""
                with contextlib.suppress(GangaKernelError, OSError):  # the next ping tries again
                    await self.connect()

    async def _start(self) -> bool:
        """Start a broker process, detached from this one. False if another one has the state folder."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ganga_kernel.broker",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, start_new_session=True, cwd="/", env=_environment(),
        )  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), _START)
        except TimeoutError as error:
            process.kill()
            raise BrokerUnavailable(f"The broker didn't start within {_START:g} s.") from error
        if not line:
            said = (await process.stderr.read()).decode(errors="replace").strip()
            raise BrokerUnavailable(
                f"The broker can't start: {said.splitlines()[-1] if said else 'it said nothing'}.",
                "Try `python -m ganga_kernel.broker` in a terminal.",
            )
        answer = json.loads(line)
        if "error" in answer:
            raise from_wire(answer["error"])
        return bool(answer["ready"])


def _environment() -> dict[str, str]:
    """The broker's environment: it isn't a child of the notebook server, and outlives it."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("JPY_", "MPLBACKEND"))}
