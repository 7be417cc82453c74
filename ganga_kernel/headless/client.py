"""A kernel of one's own, and the way to it: requests in, messages out."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.manager import KernelManager

from ..errors import RunError
from .outputs import Message

#: Milliseconds between two looks at signals, and at whether a silent kernel lives.
_PAUSE = 200

Sink = Callable[[Message], None]


class KernelEnded(Exception):
    """The kernel's process ended under a request."""


@contextmanager
def started(name: str, notebook: Path, stderr: IO[bytes] | None = None) -> Iterator[Client]:
    """The kernel of that name, started for a notebook as a Jupyter server does it, and ended in the end.

    Parameters
    ----------
    stderr: a file for what the kernel itself says; None for our own standard error

    Raises
    ------
    RunError: it can't be started.
    """
    manager = KernelManager(kernel_name=name)
    environment = {**os.environ, "JPY_SESSION_NAME": str(notebook)}
    try:
        manager.start_kernel(env=environment, cwd=str(notebook.parent), stderr=stderr)
    except NoSuchKernel as error:
        known = ", ".join(sorted(manager.kernel_spec_manager.find_kernel_specs()))
        raise RunError(f"There is no kernel {name!r}.", f"Choose with --kernel: {known}.") from error
    except OSError as error:
        raise RunError(f"The kernel {name!r} can't be started: {error}.") from error
    client = manager.client()
    client.start_channels(stdin=False, hb=False, control=False)
    try:
        try:
            client.wait_for_ready()
        except RuntimeError as error:
            raise RunError(f"The kernel {name!r} ended as soon as it was started.") from error
        except KeyboardInterrupt:
            manager.signal_kernel(signal.SIGKILL)  # nothing is lost yet; an interrupt would show a traceback
            raise
        with _noting_signals() as signals:
            yield Client(manager, client, signals)
    finally:
        with _noting_signals():  # the end isn't interrupted
            client.stop_channels()
            manager.shutdown_kernel()


@contextmanager
def _noting_signals() -> Iterator[list[int]]:
    """SIGINT and SIGTERM go into a list meanwhile, and do nothing else."""
    noted: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: noted.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class _Request:
    """One request, and how far its answer has come. Reply and idle travel on different channels."""

    sink: Sink
    reply: dict[str, Any] | None = None
    idle: bool = False


class Client:
    """Sends requests to a kernel, one at a time, and hears all that it says, also of earlier ones.

    Parameters
    ----------
    signals: what this process was sent; the first one interrupts the kernel, another one kills it
    """

    def __init__(self, manager: KernelManager, client: BlockingKernelClient, signals: list[int]) -> None:
        self._manager, self._client, self._signals = manager, client, signals
        self._heeded = 0
        self._requests: dict[str, _Request] = {}
        self._poller = zmq.Poller()
        for channel in (client.shell_channel, client.iopub_channel):
            self._poller.register(channel.socket, zmq.POLLIN)

    @property
    def interrupted(self) -> bool:
        """Whether the user wants this to end."""
        return bool(self._signals)

    def ask(self, code: str, metadata: dict[str, Any], sink: Sink, **content: Any) -> dict[str, Any]:
        """Have code run, and return the reply's content, when the kernel is idle again.

        Parameters
        ----------
        metadata: the request's, as a front end sends it
        sink: gets each message that belongs to this request, however late it comes
        content: what the request says beside the code, where that isn't what a cell's says

        Raises
        ------
        KernelEnded: there won't be a reply.
        """
        said = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": False, "stop_on_error": True, **content,
        }  # fmt: skip
        message = self._client.session.msg("execute_request", said, metadata=metadata)
        request = self._requests[message["msg_id"]] = _Request(sink)
        self._client.shell_channel.send(message)
        while request.reply is None or not request.idle:
            self._take_in()
        return request.reply

    def _take_in(self) -> None:
        """Take in what has arrived, or wait a moment for something."""
        ready = dict(self._poller.poll(_PAUSE))
        self._heed_signals()
        if not ready and not self._manager.is_alive():
            raise KernelEnded
        if self._client.shell_channel.socket in ready:
            self._replied(self._client.shell_channel.get_msg())
        if self._client.iopub_channel.socket in ready:
            self._heard(self._client.iopub_channel.get_msg())

    def _heed_signals(self) -> None:
        while self._heeded < len(self._signals):
            self._heeded += 1
            if self._heeded == 1:
                self._manager.interrupt_kernel()
            else:
                self._manager.signal_kernel(signal.SIGKILL)

    def _replied(self, message: Message) -> None:
        request = self._requests.get(message["parent_header"].get("msg_id", ""))
        if request is not None:  # else an answer to what was asked until the kernel was ready
            request.reply = message["content"]

    def _heard(self, message: Message) -> None:
        request = self._requests.get(message["parent_header"].get("msg_id", ""))
        if request is not None:
            if message["msg_type"] == "status":
                request.idle = message["content"]["execution_state"] == "idle"
            request.sink(message)
