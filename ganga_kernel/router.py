"""The router: frames in, frames out, untouched.

It binds the ports of the connection file and moves frames between the front end and two ordinary kernels,
the notebook's own (the inner kernel) and the grid kernel. All three use one key and one session id:
JupyterLab drops messages when two session ids mix. One thread owns all sockets, so no state needs a lock;
others reach it through `Router.post`.

What it changes: the banner of kernel_info replies, and the parent of output that the inner kernel printed
while it answered an internal request (a thread's output, for example, which belongs to the last cell).
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

import zmq
from jupyter_client.session import Session

from .comms import GridComms
from .errors import KernelStartError
from .execution import ExecuteQueue, Gate, Refusal
from .frames import CONTENT, HEADER, PARENT, Message, Socket, receive, send
from .owed import Owed
from .unread import Unread

log = logging.getLogger(__name__)

#: Seconds between two attempts to hear from a kernel that starts.
_NUDGE = 0.05
#: The same identity on shell and stdin, so that a kernel's input_request finds its way back.
_IDENTITY = b"router"

#: Replies of the inner kernel's in which we have a part.
_COMPLETED = ("kernel_info_reply", "connect_reply", "comm_info_reply")

Address = Callable[[str], str]
Readable = TypeVar("Readable", Socket, int)


def addresses(connection: Mapping[str, Any]) -> Address:
    """The address of each channel, from a connection file's content."""
    transport, ip = connection["transport"], connection["ip"]
    separator = ":" if transport == "tcp" else "-"
    return lambda channel: f"{transport}://{ip}{separator}{connection[channel + '_port']}"


class Router(threading.Thread):
    """Moves messages until `stop`.

    Parameters
    ----------
    front, inner, grid: the contents of the connection files of the front end and of the two kernels
    session: key and session id that all three share
    gate: decides about ordinary cells while names are pending
    banner: text put before the inner kernel's banner
    """

    def __init__(
        self,
        front: Mapping[str, Any],
        inner: Mapping[str, Any],
        grid: Mapping[str, Any],
        session: Session,
        gate: Gate,
        banner: str,
    ) -> None:
        super().__init__(name="router", daemon=True)
        self._session, self._banner = session, banner
        self._key: bytes = session.key
        self._marker = f"{session.session}_internal"
        self._internal: dict[str, tuple[str, Future[dict[str, Any]]]] = {}
        self._asked = 0
        self._unasked: list[tuple[str, Future[dict[str, Any]]]] = []
        self._announced: set[str] = set()
        self._last_parent = b"{}"
        self._count = 0
        self._owed = Owed()
        self._unread = Unread()
        self._waker: Socket | None = None
        self._comms = GridComms()
        self._comm_targets: dict[str, str | None] = {}
        self._handlers: dict[Any, Callable[[], None]] = {}
        self._early: list[tuple[str, Message]] = []
        self._waiting: list[Message] = []
        self._inner_ready = False
        self._nudge_id = ""
        self._nudge_answered = self._nudge_seen = False
        self._calls: deque[Callable[[], None]] = deque()
        self._stopping = False
        self._queue = ExecuteQueue(gate, self)
        self._gate = gate

        self._ports = {name: port for name, port in front.items() if name.endswith("_port")}
        self._poller = zmq.Poller()
        self._context = zmq.Context()
        address = addresses(front)
        self._front = {c: self._bind(zmq.ROUTER, address(c)) for c in ("shell", "control", "stdin")}
        self._on(self._front["shell"], lambda: self._from_front("shell"))
        self._on(self._front["control"], lambda: self._from_front("control"))
        self._on(self._front["stdin"], lambda: self._pass(self._front["stdin"], self._inner["stdin"]))
        self._publisher = self._on(self._bind(zmq.XPUB, address("iopub")), self._on_subscription)
        self._heart = self._on(self._bind(zmq.ROUTER, address("hb")), self._on_heartbeat)
        self._grid = self._on(
            self._dealer(addresses(grid)("shell")), lambda: self._from_kernel(self._grid, "shell")
        )
        self._grid_output = self._on(self._subscriber(addresses(grid)("iopub")), self._from_grid_output)
        self._inner_address = addresses(inner)
        self._connect_inner()
        # A pipe, not a socket: a signal's handler rings too, perhaps while its own thread is ringing. It is
        # never closed, as somebody may ring after the end.
        self._bell, self._bell_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._on(self._bell, self._on_bell)

    def _connect_inner(self) -> None:
        address = self._inner_address
        self._inner = {c: self._dealer(address(c)) for c in ("shell", "control", "stdin")}
        self._inner_output = self._subscriber(address("iopub"))
        self._on(self._inner["shell"], lambda: self._from_kernel(self._inner["shell"], "shell"))
        self._on(self._inner["control"], lambda: self._from_kernel(self._inner["control"], "control"))
        self._on(self._inner["stdin"], lambda: self._pass(self._inner["stdin"], self._front["stdin"]))
        self._on(self._inner_output, self._from_inner_output)

    def _on(self, socket: Readable, handler: Callable[[], None]) -> Readable:
        """Have `handler` called when the socket or file descriptor can be read."""
        self._handlers[socket] = handler
        self._poller.register(socket, zmq.POLLIN)
        return socket

    # ------------------------------------------------------------------ from other threads

    def post(self, call: Callable[[], None]) -> None:
        """Run `call` in the router's thread, soon. May be called by any thread and by signal handlers."""
        self._calls.append(call)
        with contextlib.suppress(BlockingIOError):  # the pipe is full: the thread wakes up anyway
            os.write(self._bell_in, b"!")

    def ask(self, expression: str) -> Future[dict[str, Any]]:
        """Evaluate an expression in the inner kernel, unseen by front ends and user.

        The request waits its turn in the inner kernel behind running cells. The future holds the
        ``user_expressions`` entry of the reply; it fails with `KernelStartError` if the kernel ends.
        """
        future: Future[dict[str, Any]] = Future()
        self.post(lambda: self._ask(expression, future))
        return future

    def interrupt(self, inner: Callable[[], None]) -> None:
        """Interrupt whatever runs: end the wait of a held cell, or call `inner`. Never kills a job."""

        def decide() -> None:
            if self._queue.ours:
                self._gate.interrupt()
            else:
                inner()

        self.post(decide)

    def inner_died(self, sentence: str) -> None:
        """The inner kernel died, and another one is started at the same addresses.

        The cell that ran gets an error that says so, and those behind it are aborted.
        """
        self.post(lambda: self._on_inner_death(sentence))

    def stop(self) -> None:
        """End the thread, after what has arrived is passed on."""

        def end() -> None:
            self._stopping = True

        self.post(end)

    # ------------------------------------------------------------------ the thread

    def run(self) -> None:
        """Move messages; called by `start`."""
        while not self._stopping:
            if not self._inner_ready:
                self._nudge()
            for socket, _ in self._poller.poll(self._patience()):
                self._handle(socket)
            if self._unread.overlooked(time.monotonic()):
                self._wake()
        self._drain()
        for _, future in (*self._internal.values(), *self._unasked):
            if not future.cancelled():
                future.set_exception(KernelStartError("The notebook's kernel has ended."))
        for socket in (*self._front.values(), self._publisher):
            socket.close(linger=1000)  # milliseconds: the front end still reads
        self._context.destroy(linger=0)

    def _patience(self) -> int | None:
        """Milliseconds to wait for messages; None: for ever."""
        wait = self._unread.wait(time.monotonic()) if self._inner_ready else _NUDGE
        return None if wait is None else int(wait * 1000) + 1

    def _wake(self) -> None:
        """Have the inner kernel look at its shell socket again: a new connection is an event there."""
        if self._waker is not None:
            self._waker.close()
        self._waker = self._connect(self._context.socket(zmq.DEALER), self._inner_address("shell"))

    def _handle(self, socket: Any) -> None:
        """Handle what a socket has. Nothing that anybody sends may end this thread."""
        handler = self._handlers.get(socket)  # none: a dead kernel's, let go of a moment ago
        if handler is not None:
            try:
                handler()
            except Exception:
                log.exception("a message was dropped")

    def _drain(self) -> None:
        """Pass on what the kernels said before they ended (the shutdown_reply, for example)."""
        poller = zmq.Poller()
        for socket in (*self._inner.values(), self._grid, self._inner_output, self._grid_output):
            poller.register(socket, zmq.POLLIN)
        while ready := poller.poll(0):
            for socket, _ in ready:
                self._handle(socket)

    def _on_bell(self) -> None:
        os.read(self._bell, 4096)
        while self._calls:
            self._calls.popleft()()

    def _on_heartbeat(self) -> None:
        send(self._heart, receive(self._heart))

    def _on_subscription(self) -> None:
        """Greet a new subscriber, as ipykernel 7 does (JEP 65)."""
        frame = self._publisher.recv()
        if frame[:1] == b"\x01":
            content = {"subscription": frame[1:].decode(errors="replace")}
            message = self._session.msg("iopub_welcome", content)
            self._publisher.send_multipart([frame[1:]] * bool(frame[1:]) + self._session.serialize(message))

    def _from_front(self, channel: str) -> None:
        frames = receive(self._front[channel])
        try:
            message = Message(frames)
        except ValueError:
            return  # not Jupyter's protocol: a port scanner; ipykernel ignores it as well
        if not message.signed(self._key):
            return  # somebody who doesn't know the key
        if self._inner_ready:
            self._dispatch(channel, message)
        else:
            self._early.append((channel, message))

    def _dispatch(self, channel: str, message: Message) -> None:
        kind = message.type
        if channel == "shell" and kind == "execute_request":
            if not self._understood(message):
                return
            if self._queue.add(message):
                self._insist()
                return
        if self._comms and kind in ("comm_msg", "comm_close"):
            comm_id = message.content.get("comm_id", "")
            if comm_id in self._comms:
                if kind == "comm_close":
                    self._comms.closed(comm_id)
                self._send_grid(message)
                return
        if kind == "comm_open" and self._comms.declines(message.content):
            self._decline(message)
            return
        if kind == "comm_info_request":
            self._comm_targets[message.id] = message.content.get("target_name")
        elif kind == "interrupt_request" and self._queue.ours:
            self._gate.interrupt()
        if channel == "shell":
            self._send_inner(message)
        else:
            send(self._inner[channel], message.frames)

    def _send_inner(self, message: Message) -> None:
        self._unread.sent(message.id, time.monotonic())
        send(self._inner["shell"], message.frames)

    def _decline(self, comm_open: Message) -> None:
        """Close a comm that the front end opens."""
        self._publish("status", {"execution_state": "busy"}, comm_open)
        self._publish("comm_close", {"comm_id": comm_open.content.get("comm_id", ""), "data": {}}, comm_open)
        self._publish("status", {"execution_state": "idle"}, comm_open)

    def _understood(self, message: Message) -> bool:
        """Whether ipykernel takes the message. It drops a repeated or malformed one, as is done here."""
        try:
            self._session.deserialize([message.raw(part) for part in range(1, CONTENT + 1)])
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
            return False
        return True

    def _from_kernel(self, socket: Socket, channel: str) -> None:
        message = Message(receive(socket))
        parent = message.parent_id
        for unanswered in self._owed.answered(parent):
            self._give_up(unanswered)
        if parent.startswith(self._marker):
            self._internal_reply(message)
            return
        if message.type in _COMPLETED:
            message = message.replaced(CONTENT, self._complete(message), self._key)
        send(self._front[channel], message.frames)
        if message.type == "execute_reply":
            self._queue.answered(parent, str(message.content.get("status")))

    def _complete(self, reply: Message) -> dict[str, Any]:
        """The content of a reply of the inner kernel's in which we have a part."""
        content = reply.content
        if reply.type == "kernel_info_reply":
            return {**content, "banner": self._banner + content.get("banner", "")}
        if reply.type == "connect_reply":
            return {**content, **self._ports}
        ours = self._comms.info(self._comm_targets.pop(reply.parent_id, None))
        return {**content, "comms": {**content.get("comms", {}), **ours}}

    def _from_inner_output(self) -> None:
        message = Message(receive(self._inner_output))
        raw_parent = message.raw(PARENT)
        if message.type == "status":
            state = str(message.content.get("execution_state"))
            self._unread.published(message.parent_id, state, time.monotonic())
        if self._marker.encode() in raw_parent:
            if message.parent_id == self._nudge_id:
                self._nudge_seen = True
                self._ready_if_heard()
            if message.type in ("status", "execute_input"):
                self._note_state(message)
                return
            message = message.replaced(PARENT, self._last_parent, self._key)
        elif message.type == "iopub_welcome":
            return
        elif message.type == "execute_input":
            count = message.content.get("execution_count")
            if isinstance(count, int):
                self._count = count
        elif message.type == "status":
            if message.parent_id in self._announced and b'"busy"' in message.raw(CONTENT):
                self._announced.discard(message.parent_id)
                return
            self._last_parent = raw_parent
        send(self._publisher, message.frames)
        self._note_state(message)

    def _from_grid_output(self) -> None:
        message = Message(receive(self._grid_output))
        if message.type == "iopub_welcome" or (message.type == "status" and not message.parent_id):
            return
        if message.type in ("comm_open", "comm_close"):
            self._comms.published(message.type, message.content)
        send(self._publisher, message.frames)
        self._note_state(message)

    def _note_state(self, message: Message) -> None:
        if message.type != "status":
            return
        state = message.content.get("execution_state")
        if state == "idle":
            self._owed.went_idle(message.parent_id)
        if state in ("busy", "idle"):
            self._queue.published(message.parent_id, state)
        self._insist()

    @staticmethod
    def _pass(source: Socket, target: Socket) -> None:
        send(target, receive(source))

    # ------------------------------------------------------------------ internal requests

    def _on_inner_death(self, sentence: str) -> None:
        """Let go of the dead kernel, with all that was sent to it, and wait for the next one."""
        self._drain()
        for socket in (*self._inner.values(), self._inner_output):
            self._poller.unregister(socket)
            del self._handlers[socket]
            socket.close()
        self._connect_inner()
        self._inner_ready = self._nudge_answered = self._nudge_seen = False
        self._nudge_id = ""
        self._owed, self._unread = Owed(), Unread()
        internal, self._internal = self._internal, {}
        for _, future in internal.values():
            if not future.cancelled():
                future.set_exception(KernelStartError(sentence))
        self._queue.inner_died(sentence)

    def _ask(self, expression: str, future: Future[dict[str, Any]]) -> None:
        """Ask the inner kernel; one that starts answers the front end's requests first."""
        if not self._inner_ready:
            self._unasked.append((expression, future))
            return
        content = {
            "code": "", "silent": True, "store_history": False, "allow_stdin": False,
            "user_expressions": {"answer": expression}, "stop_on_error": False,
        }  # fmt: skip
        self._internal[self._send_internal("execute_request", content)] = (expression, future)

    def _send_internal(self, kind: str, content: dict[str, Any]) -> str:
        self._asked += 1
        message = self._session.msg(kind, content)
        message["header"]["msg_id"] = f"{self._marker}_{self._asked}"
        message["msg_id"] = message["header"]["msg_id"]
        self._owed.sent(message["msg_id"])
        self._unread.sent(message["msg_id"], time.monotonic())
        self._inner["shell"].send_multipart(self._session.serialize(message))
        return str(message["msg_id"])

    def _insist(self) -> None:
        """If somebody waits and a reply is in doubt, ask something more, whose reply will tell."""
        if (self._internal or self._queue.waits) and self._owed.doubtful:
            self._send_internal("kernel_info_request", {})

    def _give_up(self, request_id: str) -> None:
        """This request will never be answered: an interrupt came between the work and the reply."""
        self._queue.unanswered(request_id)
        _, future = self._internal.pop(request_id, (None, None))
        if future is not None and not future.cancelled():
            future.set_result({"status": "error", "ename": "KeyboardInterrupt", "evalue": ""})

    def _internal_reply(self, message: Message) -> None:
        if message.type == "kernel_info_reply":
            self._nudge_answered = True
            self._ready_if_heard()
            return
        expression, future = self._internal.pop(message.parent_id)
        content = message.content
        if content.get("status") == "aborted":  # a cell before it failed; ask again
            self._ask(expression, future)
        elif not future.cancelled():
            failure = {"status": "error", "ename": content.get("ename", ""),
                       "evalue": content.get("evalue", "")}  # fmt: skip
            future.set_result(content.get("user_expressions", {}).get("answer", failure))

    def _nudge(self) -> None:
        """Ask the starting inner kernel for a sign of life, heard on shell and on iopub.

        Until both are connected, output of the first cell could be lost; so nothing is sent before. A
        sign that came on shell only is asked for again.
        """
        if not self._nudge_id or (self._nudge_answered and not self._nudge_seen):
            self._nudge_answered = False
            self._nudge_id = self._send_internal("kernel_info_request", {})

    def _ready_if_heard(self) -> None:
        if self._inner_ready or not (self._nudge_answered and self._nudge_seen):
            return
        self._inner_ready = True
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self._send_inner(message)
        early, self._early = self._early, []
        for channel, message in early:
            self._dispatch(channel, message)
        unasked, self._unasked = self._unasked, []
        for expression, future in unasked:
            self._ask(expression, future)

    # ------------------------------------------------------------------ execution.Actions

    def to_inner(self, request: Message) -> None:
        """See `execution.Actions`."""
        self._owed.sent(request.id)
        if self._inner_ready:
            self._send_inner(request)
        else:
            self._waiting.append(request)

    def to_grid(self, request: Message) -> None:
        """See `execution.Actions`."""
        self._last_parent = request.raw(HEADER)
        self._send_grid(request)

    def _send_grid(self, request: Message) -> None:
        """Send a message to the grid kernel, which has no subshells."""
        if "subshell_id" in request.header:
            header = {k: v for k, v in request.header.items() if k != "subshell_id"}
            request = request.replaced(HEADER, header, self._key)
        send(self._grid, request.frames)

    def busy(self, request: Message) -> None:
        """See `execution.Actions`."""
        self._announced.add(request.id)
        self._last_parent = request.raw(HEADER)
        self._publish("status", {"execution_state": "busy"}, request)

    def died(self, request: Message, sentence: str) -> None:
        """See `execution.Actions`."""
        line = f"\x1b[31mKernelDied\x1b[0m: {sentence}"
        self._fail(request, Refusal(self._count, "KernelDied", sentence, [line]))

    def refuse(self, request: Message, refusal: Refusal) -> None:
        """See `execution.Actions`."""
        if not request.content.get("silent"):
            said = {"code": request.content.get("code", ""), "execution_count": refusal.execution_count}
            self._publish("execute_input", said, request)
        self._fail(request, refusal)

    def _fail(self, request: Message, refusal: Refusal) -> None:
        """Answer a request that is busy with an error."""
        self._announced.discard(request.id)
        count = refusal.execution_count
        error = {"ename": refusal.ename, "evalue": refusal.evalue, "traceback": refusal.traceback}
        if not request.content.get("silent"):
            self._publish("error", error, request)
        self._answer(request, {"status": "error", "execution_count": count, **error,
                               "user_expressions": {}, "payload": []})  # fmt: skip
        self._publish("status", {"execution_state": "idle"}, request)

    def abort(self, request: Message) -> None:
        """See `execution.Actions`."""
        self._publish("status", {"execution_state": "busy"}, request)
        self._answer(request, {"status": "aborted"})
        self._publish("status", {"execution_state": "idle"}, request)

    def _answer(self, request: Message, content: dict[str, Any]) -> None:
        message = self._session.msg("execute_reply", content, parent={"header": request.header})
        message["metadata"] = {"status": content["status"]}
        frames = self._session.serialize(message, ident=request.idents)
        self._front["shell"].send_multipart(frames)

    def _publish(self, kind: str, content: dict[str, Any], parent: Message) -> None:
        message = self._session.msg(kind, content, parent={"header": parent.header})
        topic = f"kernel.{self._session.session}.{kind}".encode()
        self._publisher.send_multipart(self._session.serialize(message, ident=topic))

    # ------------------------------------------------------------------ sockets

    def _bind(self, kind: int, address: str) -> Socket:
        socket = self._context.socket(kind)
        socket.sndhwm = socket.rcvhwm = 0
        if kind == zmq.ROUTER:
            socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        if kind == zmq.XPUB:
            socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            raise KernelStartError(
                f"The kernel can't listen on {address}: {error}.", "Start it again: ports change."
            ) from error
        return socket

    def _dealer(self, address: str) -> Socket:
        socket = self._context.socket(zmq.DEALER)
        socket.identity = _IDENTITY
        return self._connect(socket, address)

    def _subscriber(self, address: str) -> Socket:
        socket = self._context.socket(zmq.SUB)
        socket.subscribe(b"")
        return self._connect(socket, address)

    @staticmethod
    def _connect(socket: Socket, address: str) -> Socket:
        socket.linger = 0
        socket.sndhwm = socket.rcvhwm = 0
        socket.reconnect_ivl = 10  # milliseconds: the kernel binds its end a moment later
        socket.connect(address)
        return socket
