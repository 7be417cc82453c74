"""A front end that writes down all it hears: sockets and sessions, without jupyter_client's channels."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import zmq
from jupyter_client.session import Session

#: Seconds that an answer may take on a busy machine.
PATIENCE = 30.0

#: The channels on which requests are sent and answered.
ASKING = ("shell", "control", "stdin")


@dataclass
class Heard:
    """A message that a client received."""

    channel: str
    topic: list[bytes]
    message: dict[str, Any]

    @property
    def type(self) -> str:
        return str(self.message["header"]["msg_type"])

    @property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = self.message["content"]
        return content

    @property
    def parent(self) -> str:
        """The id of the request that it belongs to, or empty."""
        return str(self.message["parent_header"].get("msg_id", ""))


@dataclass
class Request:
    """A message that a client sent, and what came back for it."""

    client: Client
    channel: str
    message: dict[str, Any]
    heard: list[Heard] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.message["header"]["msg_id"])

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """The contents of what came back, of these types."""
        return [heard.content for heard in self.heard if heard.type in kinds]

    @property
    def replies(self) -> list[dict[str, Any]]:
        return [heard.content for heard in self.heard if heard.channel == self.channel]

    @property
    def reply(self) -> dict[str, Any]:
        return self.replies[0] if self.replies else {}

    @property
    def states(self) -> list[Any]:
        return [content.get("execution_state") for content in self.of("status")]

    @property
    def text(self) -> str:
        return "".join(content["text"] for content in self.of("stream"))

    @property
    def idle(self) -> bool:
        return "idle" in self.states

    @property
    def done(self) -> bool:
        """Whether reply and idle are here."""
        return self.idle and bool(self.replies)


class Client:
    """A front end of a running kernel.

    Parameters
    ----------
    connection: the content of the kernel's connection file
    identity: the routing identity of its sockets; one of its own unless told
    topic: what it subscribes to
    """

    def __init__(
        self, connection: Mapping[str, Any], identity: bytes | None = None, topic: bytes = b""
    ) -> None:
        key = connection["key"]
        self.session = Session(key=key if isinstance(key, bytes) else key.encode())
        # Nobody else's messages have this session, so replays need not be told from new ones here.
        self.session.digest_history_size = 0
        self.identity = identity or os.urandom(8).hex().encode()
        self.log: list[Heard] = []
        self.start = 0
        self.requests: dict[str, Request] = {}
        self.others: list[Client] = [self]
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self.sockets: dict[str, zmq.Socket[bytes]] = {}
        for channel in (*ASKING, "iopub"):
            self.sockets[channel] = socket = self._context.socket(
                zmq.SUB if channel == "iopub" else zmq.DEALER
            )
            socket.linger = 0
            socket.sndhwm = socket.rcvhwm = 0
            if channel == "iopub":
                socket.subscribe(topic)
            else:
                socket.identity = self.identity
            socket.connect(f"tcp://{connection['ip']}:{connection[channel + '_port']}")
            self._poller.register(socket, zmq.POLLIN)
        self._arrive(topic)

    def _arrive(self, topic: bytes) -> None:
        """Wait until this client is heard and hears; ipykernel welcomes only the first of several."""
        if topic:
            self.until(lambda: any(heard.type == "iopub_welcome" for heard in self.log))
            return
        deadline = time.monotonic() + PATIENCE
        nudges: list[Request] = []
        while not any(nudge.idle for nudge in nudges) or not all(nudge.replies for nudge in nudges):
            if time.monotonic() > deadline:
                raise TimeoutError("the kernel doesn't answer")
            if not any(nudge.idle for nudge in nudges):
                nudges.append(self.send("kernel_info_request", {}, channel="control"))
            self.pump(0.05)
        self.listen(0.02)
        self.begin()

    def begin(self) -> None:
        """What was said and heard up to now is no part of the play."""
        self.requests.clear()
        self.start = len(self.log)

    # ------------------------------------------------------------------ sending

    def send(
        self,
        kind: str,
        content: Any,
        channel: str = "shell",
        metadata: dict[str, Any] | None = None,
        header: dict[str, Any] | None = None,
        buffers: list[bytes] | None = None,
    ) -> Request:
        """Send a message off; `header` has fields to add to its header."""
        message = self.session.msg(kind, content, metadata=metadata)
        message["header"].update(header or {})
        request = Request(self, channel, message)
        self.requests[request.id] = request
        self.sockets[channel].send_multipart([*self.session.serialize(message), *(buffers or [])])
        return request

    def execute(
        self,
        code: str,
        metadata: dict[str, Any] | None = None,
        subshell: str | None = None,
        channel: str = "shell",
        **content: Any,
    ) -> Request:
        """Send a cell off, as JupyterLab does."""
        request = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": False, "stop_on_error": True, **content,
        }  # fmt: skip
        header = {"subshell_id": subshell} if subshell is not None else {}
        return self.send("execute_request", request, channel, {"cellId": "x", **(metadata or {})}, header)

    def signed(self, *parts: bytes) -> list[bytes]:
        """The frames of a message whose parts are these, right or wrong."""
        return [b"<IDS|MSG>", self.session.sign(list(parts)), *parts]

    def answer(self, prompt: Heard, value: str) -> None:
        """Answer an input_request."""
        message = self.session.msg("input_reply", {"value": value}, parent=prompt.message)
        self.sockets["stdin"].send_multipart(self.session.serialize(message))

    # ------------------------------------------------------------------ listening

    def pump(self, seconds: float) -> None:
        """Take in what arrives, for so long at most, returning as soon as something came."""
        for socket, _ in self._poller.poll(round(seconds * 1000)):
            channel = next(name for name, found in self.sockets.items() if found is socket)
            while socket.poll(0):
                self._take_in(channel, socket.recv_multipart())

    def _take_in(self, channel: str, frames: list[bytes]) -> None:
        try:
            idents, parts = self.session.feed_identities(frames)
        except ValueError:
            return  # no message: a cell can publish anything
        message = self.session.deserialize(parts)
        message["buffers"] = [bytes(buffer) for buffer in message["buffers"]]
        heard = Heard(channel, idents, message)
        self.log.append(heard)
        request = self.requests.get(heard.parent)
        if request is not None:
            request.heard.append(heard)

    def until(self, condition: Callable[[], Any]) -> None:
        """Listen until a condition holds, all clients of the stage with this one."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                seen = [(heard.channel, heard.type, heard.content) for heard in self.log[-12:]]
                raise TimeoutError(f"it never came to that; heard last: {seen}")
            for client in self.others:
                client.pump(0.02 / len(self.others))

    def listen(self, seconds: float) -> None:
        """Listen for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for client in self.others:
                client.pump(min(left, 0.02) / len(self.others))

    def finish(self, request: Request) -> Request:
        """Listen until a request has its reply and its idle."""
        self.until(lambda: request.done)
        return request

    def run(self, code: str, **more: Any) -> Request:
        """Run a cell to its end."""
        return self.finish(self.execute(code, **more))

    def ask(self, kind: str, content: Any, channel: str = "shell", **more: Any) -> Request:
        """Send a request and wait for its reply and its idle."""
        return self.finish(self.send(kind, content, channel, **more))

    def prompt(self, count: int = 1) -> Heard:
        """Wait for this client's n-th input_request."""

        def found() -> list[Heard]:
            return [heard for heard in self.log if heard.type == "input_request"]

        self.until(lambda: len(found()) >= count)
        return found()[count - 1]

    def close(self) -> None:
        self._context.destroy(linger=0)


def idle(a: Client, request: Request) -> None:
    """Wait for the idle of a request that isn't answered."""
    a.until(lambda: request.idle)


def settle(a: Client) -> None:
    """Wait until the kernel is done with what was sent before, if it does anything with it."""
    a.ask("is_complete_request", {"code": "1"})
