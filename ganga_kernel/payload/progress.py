"""How far a cell has got, as it tells by itself: `progress`, and the events that come of it."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import math
import numbers
import os
import sys
import threading
import time
from typing import Any, Callable, Union

from .events import EventStream

#: Seconds between two events, at least.
_PAUSE = 0.5
#: The name under which users import `progress`.
_PUBLIC = "ganga_kernel"

Number = Union[int, float]

#: In a job: what takes a cell's progress; None in an ordinary cell.
report: Callable[[Number, Number | None], None] | None = None


def progress(done: Number, total: Number | None = None) -> None:
    """Tell how far a cell has got: in a batch cell its panel shows a bar, and how long it may yet take.

    It may be called as often as one likes. In an ordinary cell, and within a map, whose items are counted
    anyway, nothing is shown.

    Parameters
    ----------
    done: how much is done, in any unit
    total: how much there is to do; None or infinite if nobody knows

    Raises
    ------
    TypeError: they aren't numbers.
    ValueError: they are no finite ones.
    """
    if isinstance(total, (float, numbers.Real)) and total == math.inf:
        total = None
    counted = _number("done", done), None if total is None else _number("total", total)
    # An installed ganga-kernel is another module than the one that runs a job.
    taken = getattr(sys.modules.get("_ganga_kernel.payload.progress"), "report", None) or report
    if taken is not None:
        taken(*counted)


# It travels by this name, which exists on both sides.
progress.__module__ = _PUBLIC


def _number(name: str, value: Any) -> Number:
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    try:
        if math.isfinite(value):
            return int(value) if isinstance(value, numbers.Integral) else float(value)
    except OverflowError:  # too large an integer for a float
        pass
    raise ValueError(f"{name} must be a finite number, not {value!r:.40}")


class Progress:
    """Turns progress into ``progress`` events, two a second at most; what is told last always comes."""

    def __init__(self, events: EventStream) -> None:
        self._events = events
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._latest: tuple[Number, Number | None] | None = None
        self._sent = float("-inf")

    def tell(self, done: Number, total: Number | None) -> None:
        """Note how far the cell has got. A forked child's part isn't the cell's."""
        if os.getpid() == self._pid:
            with self._lock:
                self._latest = done, total

    def flush(self, final: bool = False) -> None:
        """Send what was told last, if that is due or the last of all. To be called every now and then."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            now = time.monotonic()
            if self._latest is None or not (final or now - self._sent >= _PAUSE):
                return
            (done, total), self._latest = self._latest, None
            self._sent = now
            self._events.emit("progress", done=done, total=total)


class _Public(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a package ``ganga_kernel`` with nothing but `progress`."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """See `importlib.abc.MetaPathFinder`."""
        return importlib.machinery.ModuleSpec(name, self) if name == _PUBLIC else None

    def create_module(self, spec: Any) -> None:
        """An ordinary module."""

    def exec_module(self, module: Any) -> None:
        """Fill it."""
        module.progress = progress


def provide() -> None:
    """Make ``from ganga_kernel import progress`` work here, also where ganga-kernel isn't installed."""
    sys.meta_path.append(_Public())
