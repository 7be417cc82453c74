"""The order of cells: which execute_request goes where, and when.

A notebook with ordinary cells only is not touched: each request goes to the inner kernel at once, whose
own queue and abort rules hold. While a name is pending, or a cell of the grid kernel waits, requests go
one at a time, the gate decides before each, and ipykernel's rule is kept: after an error with
stop_on_error the queued requests are aborted.

No socket here: what happens is told to an `Actions`, and what happened comes in by method calls, all from
the router's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from . import routing
from .frames import METADATA, Message


@dataclass(frozen=True)
class Refusal:
    """Why a held cell doesn't run: the error that it shows in place of running."""

    execution_count: int
    ename: str
    evalue: str
    traceback: list[str]


class Gate(Protocol):
    """Decides about an ordinary cell while names are pending. Implemented by the grid kernel."""

    @property
    def closed(self) -> bool:
        """Whether names are pending, so that cells have to be asked for."""

    def admit(self, code: str, store: bool, done: Callable[[Refusal | None], None]) -> None:
        """Call `done` (from any thread) when the cell may run, or with the reason why it may not.

        `store`: whether the cell takes a number and goes into the history.
        """

    def interrupt(self) -> None:
        """End the wait of the cell that is held or runs in the grid kernel."""


class Actions(Protocol):
    """What the queue has done by the router."""

    def to_inner(self, request: Message) -> None:
        """Send the request to the inner kernel."""

    def to_grid(self, request: Message) -> None:
        """Send the request to the grid kernel."""

    def busy(self, request: Message) -> None:
        """Publish that the request is being worked on; the inner kernel's own word is dropped then."""

    def refuse(self, request: Message, refusal: Refusal) -> None:
        """Answer with an error, and publish it, and idle."""

    def died(self, request: Message, sentence: str) -> None:
        """Answer that the kernel died under the request, and publish that, and idle."""

    def abort(self, request: Message) -> None:
        """Answer that the request was aborted; busy and idle around it."""

    def post(self, call: Callable[[], None]) -> None:
        """Run `call` in the router's thread; from any thread."""


@dataclass
class Request:
    """An execute_request, whose it is, its reply's status, and the state last published for it."""

    message: Message
    grid: bool
    status: str = ""
    state: str = ""

    @property
    def stops(self) -> bool:
        """Whether an error of this request aborts the queue."""
        content = self.message.content
        return bool(content.get("stop_on_error", True)) and not content.get("silent", False)


class ExecuteQueue:
    """See the module's docstring."""

    def __init__(self, gate: Gate, actions: Actions) -> None:
        self._gate = gate
        self._actions = actions
        self._queue: deque[Request] = deque()
        self._inner: dict[str, Request] = {}
        self._current: Request | None = None

    @property
    def ours(self) -> bool:
        """Whether an interrupt concerns a cell that is held, or that the grid kernel answers."""
        return self._current is not None

    @property
    def waits(self) -> bool:
        """Whether a cell waits for the inner kernel to be done with what it was sent."""
        return bool(self._queue and self._inner)

    def add(self, message: Message) -> bool:
        """An execute_request arrived. False if it needs no order: a subshell's, or one without code."""
        metadata = message.metadata if len(message.raw(METADATA)) > 2 else {}
        code = message.content.get("code")
        if not isinstance(code, str):
            return False
        ours = routing.route(code, metadata) is not None
        if not ours and message.header.get("subshell_id") is not None:
            return False
        self._queue.append(Request(message, ours))
        self._pump()
        return True

    def answered(self, parent_id: str, status: str) -> None:
        """The inner or the grid kernel answered a request."""
        request = self._find(parent_id)
        if request is not None:
            request.status = status
            self._settle(request)

    def unanswered(self, parent_id: str) -> None:
        """The inner kernel will never answer this request; see `ganga_kernel.owed`."""
        self.answered(parent_id, "unanswered")

    def published(self, parent_id: str, state: str) -> None:
        """A request's busy or idle was published.

        Reply and idle travel on different channels. The next cell must wait for both: front ends take the
        last state that they hear for the kernel's.
        """
        request = self._find(parent_id)
        if request is not None:
            request.state = state
            self._settle(request)

    def _find(self, parent_id: str) -> Request | None:
        current = self._current
        if current is not None and current.grid and current.message.id == parent_id:
            return current
        return self._inner.get(parent_id)

    def _settle(self, request: Request) -> None:
        if not request.status or request.state != "idle":
            return
        if request is self._current:
            self._current = None
        else:
            del self._inner[request.message.id]
        self._finish(request, request.status)

    def inner_died(self, sentence: str) -> None:
        """The inner kernel died: the cell that runs or is held fails, those behind it are aborted."""
        lost = [request for request in self._inner.values() if request.state != "idle"]
        self._inner.clear()
        if self._current is not None and not self._current.grid:  # held, so nothing else is there
            lost, self._current = [self._current], None
            self._gate.interrupt()
        if lost:
            if lost[0].state != "busy":  # the kernel died before it could say so
                self._actions.busy(lost[0].message)
            self._actions.died(lost[0].message, sentence)
        for request in lost[1:]:
            self._actions.abort(request.message)
        self._abort_all()

    def _finish(self, request: Request, status: str) -> None:
        if status == "error" and request.stops:
            self._abort_all()
        self._pump()

    def _abort_all(self) -> None:
        waiting, self._queue = self._queue, deque()
        for queued in waiting:
            self._actions.abort(queued.message)

    def _pump(self) -> None:
        while self._queue and self._current is None:
            head = self._queue[0]
            if not head.grid and not self._gate.closed:
                self._queue.popleft()
                self._send_inner(head)
            elif self._inner:
                return
            else:
                self._current = self._queue.popleft()
                if head.grid:
                    self._actions.to_grid(head.message)
                else:
                    self._hold(head)

    def _send_inner(self, request: Request) -> None:
        self._inner[request.message.id] = request
        self._actions.to_inner(request.message)

    def _hold(self, request: Request) -> None:
        request.state = "busy"
        self._actions.busy(request.message)

        def decided(refusal: Refusal | None) -> None:
            self._actions.post(lambda: self._release(request, refusal))

        content: dict[str, Any] = request.message.content
        store = content.get("store_history", True) and not content.get("silent", False)
        self._gate.admit(content.get("code", ""), bool(store), decided)

    def _release(self, request: Request, refusal: Refusal | None) -> None:
        if request is not self._current:
            return  # the inner kernel has died meanwhile
        self._current = None
        if refusal is None:
            self._send_inner(request)
        else:
            self._actions.refuse(request.message, refusal)
            self._finish(request, "error")
