"""What C code and child processes write to a file descriptor.

The descriptor is redirected to an unlinked file that is read as it grows. Not to a pipe: C code
that prints while it holds the GIL would fill it and wait for a reader that waits for the GIL.
"""

from __future__ import annotations

import codecs
import ctypes
import fcntl
import os
import tempfile
from typing import Callable

#: Bytes read at once.
_BLOCK = 1 << 20


class Capture:
    """Redirects a file descriptor, for good, and hands out what was written to it.

    Raises
    ------
    OSError: no folder for temporary files can be written.
    """

    def __init__(self, fd: int) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - open to the end
        self._fd = self._file.fileno()
        # Whoever inherits the descriptor has its own idea of the position.
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | os.O_APPEND)
        os.dup2(self._fd, fd, inheritable=True)
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self, final: bool = False) -> str:
        """What was written since the last call, as text; unfinished characters wait, unless
        `final`."""
        parts = []
        while os.fstat(self._fd).st_size > self._offset:
            data = os.pread(self._fd, _BLOCK, self._offset)
            self._offset += len(data)
            parts.append(self._decoder.decode(data))
        if final:
            parts.append(self._decoder.decode(b"", True))
        return "".join(parts)


def c_flusher() -> Callable[[], object]:
    """A function that flushes C's standard output and error.

    Only these two: fflush of all streams waits for any that another thread is reading from.
    """
    try:
        libc = ctypes.CDLL(None)
        fflush = libc.fflush
        streams = [ctypes.c_void_p.in_dll(libc, name) for name in ("stdout", "stderr")]
    except (OSError, ValueError, AttributeError):  # a C library that names them otherwise
        return lambda: None

    def flush() -> None:
        for stream in streams:
            fflush(stream)

    return flush
