"""For how long a task of a map keeps its items to itself: what it has not begun by then is handed on."""

from __future__ import annotations

import threading
from typing import Callable, Iterator


class Budget:
    """The places of a task's items that it runs itself.

    Parameters
    ----------
    start, stop: the first place, and the one after the last
    seconds: from now on, after which the task hands on what it has not begun; None: never
    tell: called in a thread of its own, with the first place that is handed on; the task begins none of these

    The first item is never handed on.
    """

    def __init__(self, start: int, stop: int, seconds: float | None, tell: Callable[[int], None]) -> None:
        self._next, self._first, self._stop, self._tell = start, start, stop, tell
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        if seconds is not None and stop - start > 1:
            self._timer = threading.Timer(seconds, self._hand_on)
            self._timer.name, self._timer.daemon = "hands items on", True
            self._timer.start()

    def places(self) -> Iterator[int]:
        """The places of the items to run, each as the one before it has ended."""
        while (place := self._begin()) is not None:
            yield place
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> int | None:
        with self._lock:
            if self._next == self._stop:
                return None
            self._next += 1
            return self._next - 1

    def _hand_on(self) -> None:
        with self._lock:
            rest = max(self._next, self._first + 1)
            if rest < self._stop:
                self._stop = rest
                self._tell(rest)
