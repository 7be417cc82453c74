"""The event stream: what the payload reports, one JSON object a line."""

from __future__ import annotations

import json
import math
import numbers
import os
import select
import threading
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any


class EventStream:
    """Writes events to a file descriptor, each in one piece.

    Only the process that made it writes: a forked child's events would be mixed into its parent's.

    Parameters
    ----------
    fd: file descriptor; it belongs to the stream from now on
    attempt: stands in every event, because a batch system may start a job again
    """

    def __init__(self, fd: int, attempt: int) -> None:
        self._fd = fd
        self._attempt = attempt
        self._seq = 0
        self._closed = False
        self._lock = threading.Lock()
        self._pid = os.getpid()
        # A reader sees the end of a pipe only when no child holds it.
        os.register_at_fork(after_in_child=self._close_in_child)

    def emit(self, event: str, **fields: Any) -> None:
        """Write an event; nothing happens in a forked child, or after the end event."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self._closed:
                return
            self._closed = event == "end"
            head = {"attempt": self._attempt, "seq": self._seq, "time": time.time(), "event": event}
            self._seq += 1
            _write_all(self._fd, to_json({**head, **fields}).encode() + b"\n")

    def _close_in_child(self) -> None:
        os.close(self._fd)


def to_json(value: Any) -> str:
    """JSON text as Jupyter makes it: bytes in base64, dates in ISO format, sets and the like as
    lists.

    What has no place in JSON (not a number, keys that aren't strings, objects) becomes its text.
    """
    try:
        return json.dumps(value, default=_to_plain, allow_nan=False)
    except (TypeError, ValueError):
        return json.dumps(_clean(value))


def _to_plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, (bytes, bytearray)):
        return b64encode(value).decode("ascii")
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{value!r} has no place in JSON")


def _clean(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    try:
        return _clean(_to_plain(value))
    except TypeError:
        return repr(value)


def _write_all(fd: int, data: bytes) -> None:
    """Write all of it, also to a pipe that its other end has made non-blocking."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            select.select([], [fd], [])
