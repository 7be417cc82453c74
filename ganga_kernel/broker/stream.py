"""Reading a payload's event stream while it grows.

A vacated job, or a killed shadow, starts its standard output again at byte 0, so the file may shrink, or be
another one of the same length: the first bytes, which hold the attempt and its time, tell. A starter whose
shadow was killed may write once more what it wrote last: the events' numbers tell.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

#: Bytes by which a stream is recognised: attempt, sequence number and time stand at the front.
_HEAD = 120
#: Bytes read at once.
_BLOCK = 1 << 22


@dataclass
class EventStream:
    """A stream and how far it has been read.

    Attributes
    ----------
    path: the file; it needn't exist yet
    offset: bytes read; always at the end of a line, so that it can be stored and resumed from
    head: the first bytes, as far as they were read
    more: whether the last `read` stopped before the end
    changed: when the file was changed last, as the last `read` saw it
    last: number of the last event that was read
    """

    path: Path
    offset: int = 0
    head: str = ""
    more: bool = False
    changed: int = 0
    last: int = -1

    def read(self) -> tuple[bool, list[dict[str, Any]]]:
        """Whether the stream began anew since the last call, and its new events, some megabytes at most.

        An unfinished last line is left for the next call. A line that is no event is logged: a program
        wrote to the payload's own standard output.
        """
        self.more = False
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return False, []
        with file:
            status = os.fstat(file.fileno())
            size, unchanged = status.st_size, status.st_mtime_ns == self.changed
            if size == self.offset and unchanged:
                return False, []
            self.changed = status.st_mtime_ns
            again = self._began_anew(file.read(_HEAD), size)
            file.seek(self.offset)
            block = file.read(_BLOCK)
            while b"\n" not in block and len(part := file.read(_BLOCK)):
                block += part
        self.more = self.offset + len(block) < size
        whole = block[: block.rfind(b"\n") + 1]
        self.offset += len(whole)
        return again, [event for line in whole.splitlines() if (event := self._event(line))]

    def _began_anew(self, head: bytes, size: int) -> bool:
        text = head.decode(errors="replace")
        again = size < self.offset or not text.startswith(self.head[: len(text)])
        if again:
            self.offset, self.last = 0, -1
        if again or len(self.head) < _HEAD:
            self.head = text
        return again

    def _event(self, line: bytes) -> dict[str, Any] | None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and "event" in event:
            if event.get("seq", self.last + 1) <= self.last:
                return None
            self.last = event.get("seq", self.last + 1)
            return event
        log.warning("%s: not an event: %r", self.path, line[:200])
        return None
