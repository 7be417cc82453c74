"""A kernel and a client that notes when each message came.

The client is one thread on bare sockets: what a client library does between a message and its caller would
be measured as the kernel's.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import zmq
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from .site import Site

#: Command lines of the two kernels, without the connection file.
PLAIN = [sys.executable, "-m", "ipykernel_launcher"]
GANGA = [sys.executable, "-P", "-m", "ganga_kernel"]
#: Seconds that anything may take.
PATIENCE = 120.0

Message = dict[str, Any]


class _Manager(KernelManager):
    """Starts a command, whatever kernelspecs are installed."""

    command: list[str]

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernelspec of the command."""
        return KernelSpec(argv=[*self.command, "-f", "{connection_file}"], language="python")


@dataclass
class Cell:
    """One request, and what came back; times are unix seconds.

    Attributes
    ----------
    sent: when it was sent
    replied, idle: when its reply (a comm message has none) and its idle came
    reply: the reply's content
    outputs: what was published for it, each with the time at which it came
    """

    id: str
    sent: float
    replied: float = 0.0
    idle: float = 0.0
    reply: Message = field(default_factory=dict)
    outputs: list[tuple[float, Message]] = field(default_factory=list)

    @property
    def answered(self) -> bool:
        """Whether the prompt is back."""
        return bool(self.replied and self.idle)

    @property
    def took(self) -> float:
        """Seconds from the request to the prompt."""
        return max(self.replied, self.idle) - self.sent


class Kernel:
    """A running kernel and the client's end of it.

    Attributes
    ----------
    ready_after: seconds from its launch to its first kernel_info reply
    """

    def __init__(self, manager: KernelManager, launched: float) -> None:
        self._manager = manager
        self._session = manager.session
        self._context = zmq.Context()
        info = dict(manager.get_connection_info())
        self._shell = self._socket(zmq.DEALER, info, "shell_port")
        self._iopub = self._socket(zmq.SUB, info, "iopub_port")
        self._poller = zmq.Poller()
        for socket in (self._shell, self._iopub):
            self._poller.register(socket, zmq.POLLIN)
        self._cells: dict[str, Cell] = {}
        self.ready_after = self._greet() - launched

    def close(self) -> None:
        """End the kernel."""
        self._manager.shutdown_kernel(now=False)
        self._context.destroy(linger=0)

    def execute(self, code: str, metadata: Message | None = None) -> Cell:
        """Send a cell, and return when its prompt is back; what it says later isn't heard."""
        cell = self.send(code, metadata)
        self.listen(lambda: cell.answered)
        del self._cells[cell.id]
        return cell

    def send(self, code: str, metadata: Message | None = None) -> Cell:
        """Send a cell as JupyterLab does, with its metadata and an id of its own: it finds no older job."""
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": False, "stop_on_error": True,
        }  # fmt: skip
        return self._send("execute_request", content, {"cellId": uuid.uuid4().hex, **(metadata or {})})

    def open_comm(self, comm_id: str, target: str) -> None:
        """Open a comm whose target the kernel knows."""
        self._send("comm_open", {"comm_id": comm_id, "target_name": target, "data": {}}, {})

    def send_to_comm(self, comm_id: str, data: Message) -> Cell:
        """Send a comm message; it has no reply, but goes idle."""
        return self._send("comm_msg", {"comm_id": comm_id, "data": data}, {})

    def _send(self, kind: str, content: Message, metadata: Message) -> Cell:
        message = self._session.msg(kind, content)
        message["metadata"] = metadata
        frames = self._session.serialize(message)
        cell = self._cells[message["header"]["msg_id"]] = Cell(message["header"]["msg_id"], time.time())
        self._shell.send_multipart(frames)
        return cell

    def listen(self, until: Callable[[], object], tick: float | None = None) -> None:
        """Take messages in until a condition holds.

        Parameters
        ----------
        tick: seconds between two looks at the condition while no message comes; None for none
        """
        deadline = time.monotonic() + PATIENCE
        while not until():
            if time.monotonic() > deadline:
                raise TimeoutError("The kernel didn't come to it.")
            for socket, _ in self._poller.poll(int(1000 * (PATIENCE if tick is None else tick))):
                self._take_in(socket)

    def catch_up(self) -> None:
        """Take in what has come already, so that the next cell isn't behind it."""
        while ready := self._poller.poll(0):
            for socket, _ in ready:
                self._take_in(socket)

    def memory(self, kind: str) -> float:
        """MB of all its processes; the broker, which serves all kernels of its user, isn't one of them.

        Parameters
        ----------
        kind: "pss" (shared pages are divided among those who share them) or "rss"
        """
        return sum(megabytes(process, kind) for process in self._processes())

    def _processes(self) -> list[psutil.Process]:
        top = psutil.Process(self._manager.provisioner.pid)  # type: ignore[union-attr]
        everyone = [top, *top.children(recursive=True)]
        return [process for process in everyone if "ganga_kernel.broker" not in process.cmdline()]

    def _take_in(self, socket: zmq.Socket[bytes]) -> Message:
        frames = socket.recv_multipart()
        now = time.time()
        _, frames = self._session.feed_identities(frames)
        message: Message = self._session.deserialize(frames)
        cell = self._cells.get(message["parent_header"].get("msg_id", ""))
        if cell is None:
            return message
        if message["msg_type"] == "execute_reply":
            cell.reply, cell.replied = message["content"], now
        elif message["msg_type"] == "status":
            if message["content"]["execution_state"] == "idle":
                cell.idle = now
        else:
            cell.outputs.append((now, message))
        return message

    def _greet(self) -> float:
        """Ask for kernel_info until both sockets are heard from; the time of the first reply."""
        first, heard, asked = 0.0, False, 0.0
        while not (first and heard):
            if time.time() - asked > 0.5 and (first or not asked):
                asked = time.time()
                self._shell.send_multipart(self._session.serialize(self._session.msg("kernel_info_request")))
            for socket, _ in self._poller.poll(100):
                self._take_in(socket)
                first = first or (time.time() if socket is self._shell else 0.0)
                heard = heard or socket is self._iopub
        time.sleep(0.1)  # what was asked for last is answered, too
        self.catch_up()
        return first

    def _socket(self, kind: int, info: Message, port: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.rcvhwm = socket.sndhwm = 0
        socket.reconnect_ivl = 2  # milliseconds: the kernel's start is measured, not the client's patience
        if kind == zmq.SUB:
            socket.subscribe(b"")
        socket.connect(f"tcp://{info['ip']}:{info[port]}")
        return socket


@contextmanager
def kernel(command: list[str], site: Site) -> Iterator[Kernel]:
    """A kernel that is started, ready, and ended at last."""
    manager = _Manager(connection_file=str(site.root / "run" / f"kernel-{time.monotonic_ns()}.json"))
    manager.command = command
    launched = time.time()
    manager.start_kernel(env=site.environment, cwd=str(site.root / "work"))
    running = Kernel(manager, launched)
    try:
        yield running
    finally:
        running.close()


def megabytes(process: psutil.Process, kind: str) -> float:
    """MB that a process uses; see `Kernel.memory`."""
    return float(getattr(process.memory_full_info(), kind)) / 2**20
