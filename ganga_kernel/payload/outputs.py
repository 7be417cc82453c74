"""Everything a cell shows, in the order in which it shows it.

Writes of Python code are put together for a while: an event for each piece that `print` writes
would be slow. Before anything else goes out, what was written before it does: by Python, by C code,
by child processes.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
import threading
from typing import Any, Iterable

from .capture import Capture, c_flusher
from .events import EventStream
from .progress import Progress

#: Seconds for which text is held back at most; the beginning of a line twice as long.
_INTERVAL = 0.05
#: Characters after which it isn't held back any longer.
_ENOUGH = 1 << 16

_FDS = {"stdout": 1, "stderr": 2}


class Outputs:
    """Turns what a cell shows into ``output`` events. Takes over file descriptors 1 and 2, for
    good.

    Attributes
    ----------
    progress: how far the cell has got

    Raises
    ------
    OSError: no folder for temporary files can be written.
    """

    def __init__(self, events: EventStream) -> None:
        self.progress = Progress(events)
        self._events = events
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._pending: list[str] = []
        self._pending_size = 0
        self._pending_name = "stdout"
        self._held_back = False
        self._item: int | None = None
        self._flush_c = c_flusher()
        self._stop = threading.Event()
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        self._captures = {name: Capture(fd) for name, fd in _FDS.items()}
        os.register_at_fork(after_in_child=self._begin_child)
        threading.Thread(target=self._tick, name="outputs of the cell", daemon=True).start()

    def write(self, name: str, text: str) -> None:
        """Add text to a stream, ``stdout`` or ``stderr``."""
        if os.getpid() != self._pid:
            self._write_in_child(name, text)
            return
        with self._lock:
            self._drain()
            self._append(name, text)

    def show(self, kind: str, content: dict[str, Any]) -> None:
        """Send an output of another kind, with the content of the Jupyter message of that name."""
        if os.getpid() != self._pid:
            text = content.get("data", {}).get("text/plain", "")
            self._write_in_child("stdout", f"{text}\n" if text else "")
            return
        with self._lock:
            self.flush()
            self._send(kind, content)

    def flush(self) -> None:
        """Send what was written up to now."""
        with self._lock:
            if os.getpid() == self._pid:
                self._drain()
                self._send_pending()
            else:
                self._flush_child()

    def begin_item(self, item: int | None) -> None:
        """What comes from now on belongs to this item of a map; None: to none."""
        with self._lock:
            self.flush()
            self._item = item

    def close(self) -> None:
        """Send the rest."""
        self._stop.set()
        with self._lock:
            for stream in (sys.__stdout__, sys.__stderr__):
                if stream is not None:
                    with contextlib.suppress(ValueError):  # the cell has closed it
                        stream.flush()
            self._drain(final=True)
            self._send_pending()
        self.progress.flush(final=True)

    def _tick(self) -> None:
        while not self._stop.wait(_INTERVAL):
            self._flush_lines()
            self.progress.flush()

    def _flush_lines(self) -> None:
        """Send what was written up to now, but the beginning of a line only at the second time.

        `print` writes a line's end by itself: one line would be two outputs.
        """
        with self._lock:
            self._drain()
            text = "".join(self._pending)
            due = whole_lines(text, self._held_back)
            self._send_pending(due)
            self._held_back = due < len(text)

    # A forked child writes to the descriptors, whole lines at a time, and the parent reads.

    def _begin_child(self) -> None:
        self._lock = threading.RLock()
        self._pending.clear()

    def _write_in_child(self, name: str, text: str) -> None:
        with self._lock:
            if name != self._pending_name:
                self._flush_child()
                self._pending_name = name
            self._pending.append(text)
            if "\n" in text:
                self._flush_child()

    def _flush_child(self) -> None:
        rest = "".join(self._pending).encode("utf-8", "replace")
        self._pending.clear()
        while rest:
            rest = rest[os.write(_FDS[self._pending_name], rest) :]

    def _drain(self, final: bool = False) -> None:
        self._flush_c()
        for name, capture in self._captures.items():
            text = capture.read(final)
            if text:
                self._append(name, text)

    def _append(self, name: str, text: str) -> None:
        if name != self._pending_name:
            self._send_pending()
            self._pending_name = name
        self._pending.append(text)
        self._pending_size += len(text)
        if self._pending_size >= _ENOUGH:
            self._send_pending()

    def _send_pending(self, size: int | None = None) -> None:
        """Send what is pending, or so many characters of it."""
        text = "".join(self._pending)
        sent, rest = text[:size], "" if size is None else text[size:]
        self._pending[:] = [rest] if rest else []
        self._pending_size = len(rest)
        if sent:
            self._held_back = False
            self._send("stream", {"name": self._pending_name, "text": sent})

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        which = {} if self._item is None else {"item": self._item}
        self._events.emit("output", output={"type": kind, "content": content}, **which)


def whole_lines(text: str, held_back: bool) -> int:
    """How many characters of a text to send now: whole lines, or all if a part was held back before."""
    return len(text) if held_back else text.rfind("\n") + 1


class Stream(io.TextIOBase):
    """The cell's ``sys.stdout`` or ``sys.stderr``."""

    def __init__(self, outputs: Outputs, name: str) -> None:
        super().__init__()
        self._outputs = outputs
        self._stream = name
        self.name = f"<{name}>"
        self.mode = "w"
        self.buffer = _Bytes(self)

    encoding = "utf-8"
    errors = "replace"

    def write(self, text: str) -> int:
        """Write text."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._outputs.write(self._stream, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        """Write several texts."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Send what was written."""
        self._outputs.flush()

    def close(self) -> None:
        """Send what was written; as in a notebook, the stream stays open."""
        self.flush()

    def isatty(self) -> bool:
        """It is no terminal."""
        return False

    def readable(self) -> bool:
        """It can't be read."""
        return False

    def writable(self) -> bool:
        """It can be written."""
        return True

    def fileno(self) -> int:
        """The file descriptor whose output is captured, too."""
        return _FDS[self._stream]


class _Bytes(io.BufferedIOBase):
    """A stream's ``buffer``: bytes take their place among its text."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def raw(self) -> Any:
        return self

    def write(self, data: Any) -> int:
        """Write bytes of UTF-8 text."""
        data = bytes(data)
        self._stream.write(self._decoder.decode(data))
        return len(data)

    def flush(self) -> None:
        """Send what was written."""
        self._stream.flush()

    def close(self) -> None:
        """Stay open, as the stream does."""
        self.flush()

    def writable(self) -> bool:
        """It can be written."""
        return True

    def fileno(self) -> int:
        """The file descriptor whose output is captured, too."""
        return self._stream.fileno()
