"""SIGTERM: the batch system wants the job to end."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Callable


class Termination:
    """Calls `act`, in a thread of its own, when SIGTERM arrives; it should end the process.

    A handler of Python code alone would have to wait until the main thread returns from C code, and
    could interrupt it in the middle of a write. So the signal's number is written to a pipe, by C,
    that a thread reads. A handler that the cell installs itself replaces all this, and a forked
    child knows nothing of it.

    Attributes
    ----------
    asked: whether the main thread knows that SIGTERM has arrived
    """

    def __init__(self, act: Callable[[], None]) -> None:
        self.asked = False
        self._act = act
        self._pid = os.getpid()
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._handler = self._handle  # one object, to be recognised
        signal.signal(signal.SIGTERM, self._handler)
        _set_wakeup(self._writer)
        os.register_at_fork(
            before=lambda: _set_wakeup(-1),
            after_in_parent=lambda: _set_wakeup(self._writer),
            after_in_child=self._forget,
        )
        threading.Thread(target=self._wait, name="waits for SIGTERM", daemon=True).start()

    def _handle(self, number: int, frame: Any) -> None:
        if os.getpid() == self._pid:
            self.asked = True
            # While a child is being forked the interpreter doesn't know the pipe.
            os.write(self._writer, bytes([number]))

    def _wait(self) -> None:
        while True:
            for number in os.read(self._reader, 1):
                is_ours = self.asked or signal.getsignal(signal.SIGTERM) is self._handler
                if number == signal.SIGTERM and is_ours:
                    self._act()

    def _forget(self) -> None:
        signal.set_wakeup_fd(-1)
        if signal.getsignal(signal.SIGTERM) is self._handler:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(self._reader)
        os.close(self._writer)


def _set_wakeup(fd: int) -> None:
    # Only the main thread may; a fork in another thread leaves things as they are.
    if threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
