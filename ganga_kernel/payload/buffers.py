"""Large buffers apart from the pickle that they belong to: hashed, written and read in pieces, by all cores.

A buffer's digest is the SHA-256 of the SHA-256 digests of its pieces, so that several threads can work on it:
the functions that hash, copy and move memory let other threads run.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import Any, Callable

#: Bytes from which on a buffer counts as large: fewer aren't worth a file of their own.
LARGE = 1 << 23
#: Bytes of a piece. Another number gives other digests.
PIECE = 1 << 22
#: Bytes that are copied at once: what is copied stays in a core's cache until it is hashed and written.
_BLOCK = 1 << 19
#: More threads than this wait for memory, not for a core.
_THREADS = 4
_CHECKSUM = struct.Struct("<I")


class DamagedError(Exception):
    """What was read isn't what was written."""


class Digest:
    """The digest of bytes that come in blocks of any length: the same as `digest` of them all."""

    def __init__(self) -> None:
        self._pieces = hashlib.sha256()
        self._piece = hashlib.sha256()
        self._left = PIECE

    def update(self, block: Any) -> None:
        """Add a block of bytes."""
        view = memoryview(block)
        while len(view):
            part = view[: self._left]
            self._piece.update(part)
            self._left -= len(part)
            view = view[len(part) :]
            if not self._left:
                self._end_piece()

    def hexdigest(self) -> str:
        """The digest of all blocks, in hexadecimal; no block may follow."""
        if self._left < PIECE:
            self._end_piece()
        return self._pieces.hexdigest()

    def _end_piece(self) -> None:
        self._pieces.update(self._piece.digest())
        self._piece, self._left = hashlib.sha256(), PIECE


def digest(buffer: Any) -> str:
    """The digest of a contiguous buffer, in hexadecimal."""
    view = memoryview(buffer).cast("B")
    return _whole(_in_threads(len(view), lambda at: hashlib.sha256(view[at : at + PIECE]).digest()))


def write(fd: int, offset: int, buffer: memoryview) -> str:
    """Write bytes to a place of a file, and return the digest of what is written there.

    What is hashed and written is a copy, block by block: another thread that changes the buffer meanwhile
    can't make the digest wrong.

    Raises
    ------
    OSError: the file can't be written.
    """

    def piece(begin: int) -> bytes:
        hashed = hashlib.sha256()
        end = min(begin + PIECE, len(buffer))
        for at in range(begin, end, _BLOCK):
            block = bytes(buffer[at : min(at + _BLOCK, end)])
            hashed.update(block)
            _write(fd, offset + at, block)
        return hashed.digest()

    return _whole(_in_threads(len(buffer), piece))


def read(fd: int, offset: int, size: int, expected: str | None) -> memoryview:
    """Bytes of a file, in writable memory of their own; they are hashed there, where no one can change them.

    Parameters
    ----------
    expected: their digest; None if they needn't be compared with it

    Raises
    ------
    DamagedError: their digest isn't the expected one, or the file ends before.
    OSError: the file can't be read.
    """
    memory = _memory(size)

    def piece(at: int) -> bytes:
        part = memory[at : at + PIECE]
        _read(fd, offset + at, part)
        return b"" if expected is None else hashlib.sha256(part).digest()

    pieces = _in_threads(size, piece)
    if expected is not None and _whole(pieces) != expected:
        raise DamagedError("it isn't what was written")
    return memory


def is_in_file(fd: int, offset: int, size: int, expected: str) -> bool:
    """Whether bytes of a file have this digest.

    Raises
    ------
    DamagedError: the file ends before.
    OSError: the file can't be read.
    """

    def piece(at: int) -> bytes:
        part = bytearray(min(PIECE, size - at))
        _read(fd, offset + at, memoryview(part))
        return hashlib.sha256(part).digest()

    return _whole(_in_threads(size, piece)) == expected


def checksum(buffer: memoryview, start: int) -> int:
    """A CRC-32 of a buffer, beginning with that of what came before."""
    if len(buffer) <= PIECE:
        return zlib.crc32(buffer, start)
    pieces = _in_threads(len(buffer), lambda at: zlib.crc32(buffer[at : at + PIECE]))
    return zlib.crc32(b"".join(map(_CHECKSUM.pack, pieces)), start)


def name_of(digest: str, size: int) -> str:
    """The name of the file that holds a buffer."""
    return f"{digest}-{size}.buf"


def beside(path: Path) -> Callable[[str], memoryview]:
    """A function that reads a buffer by the name of its file, which lies beside `path`."""

    def fetch(name: str) -> memoryview:
        size = int(name.partition(".")[0].rpartition("-")[2])
        with path.with_name(name).open("rb") as file:
            return read(file.fileno(), 0, size, None)

    return fetch


def _whole(pieces: list[bytes]) -> str:
    return hashlib.sha256(b"".join(pieces)).hexdigest()


def _write(fd: int, offset: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        done = os.pwrite(fd, left, offset)
        left, offset = left[done:], offset + done


def _read(fd: int, offset: int, target: memoryview) -> None:
    while target:
        done = os.preadv(fd, [target], offset)
        if not done:
            raise DamagedError("the file ends too early")
        target, offset = target[done:], offset + done


def _in_threads(size: int, work: Callable[[int], Any]) -> list[Any]:
    """Call a function with the place of each piece, and return its values in their order.

    The threads end with the call: a process that is forked later must not think that it has them.
    """
    places = range(0, size, PIECE)
    if len(places) < 2:
        return [work(at) for at in places]
    from concurrent.futures import ThreadPoolExecutor  # not where a cell has nothing large

    with ThreadPoolExecutor(min(_cores(), _THREADS, len(places))) as pool:
        return list(pool.map(work, places))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory(size: int) -> memoryview:
    """Writable memory. Much of it isn't filled with zeros first, as a `bytearray` is."""
    if size < LARGE:
        return memoryview(bytearray(size))
    return memoryview(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
