"""Result files: written once, and sealed with the job's key, so that a reader trusts each byte that it takes.

A file is a sequence of parts, and at its end an index: of each part whether it is a large buffer or a part of
the stream between them, its size and its digest. The signature is that of the index (HMAC-SHA256), so parts
are hashed as they are written, and again in the memory into which they are read: nothing is read twice, and
nothing is handed out that isn't what the job wrote.
"""

from __future__ import annotations

import bisect
import hashlib
import hmac
import io
import itertools
import json
import os
import pickle
import struct
from pathlib import Path
from typing import IO, Any, NamedTuple

from . import buffers

_PLACE = struct.Struct(">Q")
#: Bytes of a part of the stream: as much is read before any of it is handed out.
_PART = 1 << 20
_WRONG = "its signature is wrong"


class NotGenuineError(Exception):
    """A file isn't what the owner of the key wrote."""


class _Part(NamedTuple):
    """A part of a file.

    Attributes
    ----------
    large: whether it is a buffer, and not part of the stream
    size: bytes
    """

    large: bool
    size: int
    digest: str


class Writer:
    """Writes a stream, and the buffers beside it, to an empty file.

    It can go back to any place that `tell` has told, as a dump does that starts again.

    Parameters
    ----------
    file: open for writing, without a buffer of its own
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._fd = file.fileno()
        self._parts: list[_Part] = []
        #: The number of each buffer's part.
        self._kept: dict[_Part, int] = {}
        #: Where the next part begins, and how much of what is before it is the stream.
        self._end = self._length = 0
        self._gathered = bytearray()

    def write(self, data: Any) -> int:
        """Append to the stream.

        Raises
        ------
        OSError: the file can't be written.
        """
        view = pickle.PickleBuffer(data).raw()
        for at in range(0, len(view), _PART):
            self._gathered += view[at : at + _PART]
            if len(self._gathered) >= _PART:
                self.flush()
        return len(view)

    def keep(self, buffer: memoryview) -> int:
        """Write a buffer beside the stream, unless the same content is there, and return what to fetch it by.

        Raises
        ------
        OSError: the file can't be written.
        """
        self.flush()
        part = _Part(True, len(buffer), buffers.write(self._fd, self._end, buffer))
        if part not in self._kept:
            self._kept[part] = len(self._parts)
            self._add(part)
        return self._kept[part]

    def flush(self) -> None:
        """Have the file hold all that was written."""
        if self._gathered:
            data = memoryview(bytes(self._gathered))
            self._gathered.clear()
            self._add(_Part(False, len(data), buffers.write(self._fd, self._end, data)))

    def tell(self) -> int:
        """The length of the stream."""
        self.flush()
        return self._length

    def seek(self, place: int) -> None:
        """Drop all that came after `tell` told this place."""
        self.flush()
        while self._length > place or (self._parts and self._parts[-1].large):
            part = self._parts.pop()
            self._kept.pop(part, None)
            self._end -= part.size
            self._length -= 0 if part.large else part.size

    def truncate(self) -> None:
        """End the file after what is left."""
        os.ftruncate(self._fd, self._end)

    def seal(self, key: str) -> str:
        """Write the index and return its signature; both it and `key` are hexadecimal.

        Raises
        ------
        OSError: the file can't be written.
        """
        self.flush()
        index = json.dumps(self._parts).encode()
        self.truncate()
        buffers.write(self._fd, self._end, memoryview(index + _PLACE.pack(self._end)))
        return _signature(index, key)

    def _add(self, part: _Part) -> None:
        self._parts.append(part)
        self._end += part.size
        self._length += 0 if part.large else part.size


class Reader:
    """Reads what a `Writer` wrote.

    Parameters
    ----------
    file: must stay open
    key, signature: the key, and what `Writer.seal` returned; None for a file that somebody else has verified:
        nothing is hashed then

    Attributes
    ----------
    stream: the stream; reading it raises as `fetch` does

    Raises
    ------
    NotGenuineError: the file isn't what the owner of the key wrote.
    OSError: it can't be read.
    """

    def __init__(self, file: IO[bytes], key: str | None = None, signature: str = "") -> None:
        self._fd = file.fileno()
        self._trusted = key is None
        index, size = _index(file)
        if key is not None and not hmac.compare_digest(_signature(index, key).encode(), signature.encode()):
            raise NotGenuineError(_WRONG)
        try:
            self._parts = [_Part(*one) for one in json.loads(index)]
        except (ValueError, TypeError) as error:  # only where somebody else should have verified it
            raise NotGenuineError("it is damaged") from error
        self._places: list[int] = []
        end = 0
        for part in self._parts:
            self._places.append(end)
            end += part.size
        if end != size:
            raise NotGenuineError(_WRONG)
        self.stream = self.open()

    def open(self) -> IO[bytes]:
        """The stream, read from its beginning, with a place of its own."""
        return io.BufferedReader(_Stream(self), _PART)

    def fetch(self, number: int) -> memoryview:
        """A part, in writable memory of its own.

        Raises
        ------
        NotGenuineError: it isn't what the owner of the key wrote.
        OSError: it can't be read.
        """
        part = self._parts[number]
        expected = None if self._trusted else part.digest
        try:
            return buffers.read(self._fd, self._places[number], part.size, expected)
        except buffers.DamagedError as error:
            raise NotGenuineError(_WRONG) from error

    def stream_parts(self) -> list[int]:
        """The numbers of the parts that make up the stream."""
        return [number for number, part in enumerate(self._parts) if not part.large]

    def length(self, number: int) -> int:
        """The bytes of a part."""
        return self._parts[number].size

    def is_whole(self) -> bool:
        """Whether all parts are what was written.

        Raises
        ------
        OSError: one can't be read.
        """
        try:
            return all(
                buffers.is_in_file(self._fd, place, part.size, part.digest)
                for place, part in zip(self._places, self._parts)
            )
        except buffers.DamagedError:
            return False


class _Stream(io.RawIOBase):
    """The stream of a file, part by part."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._numbers = reader.stream_parts()
        self._ends = list(itertools.accumulate(map(reader.length, self._numbers)))
        self._place = 0
        #: The part that was read last, and where in the stream it begins.
        self._part, self._begin = memoryview(b""), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._ends[-1] if self._ends else 0}
        self._place = base[whence] + offset
        return self._place

    def readinto(self, target: Any) -> int:
        if not self._begin <= self._place < self._begin + len(self._part):
            number = bisect.bisect_right(self._ends, self._place)
            if number == len(self._ends):
                return 0
            self._part = self._reader.fetch(self._numbers[number])
            self._begin = self._ends[number] - len(self._part)
        data = self._part[self._place - self._begin :][: len(target)]
        target[: len(data)] = data
        self._place += len(data)
        return len(data)


def verify(path: str | Path, key: str, signature: str) -> bool:
    """Whether the file, as it is now, is what the owner of the key wrote.

    Raises
    ------
    OSError: it can't be read.
    """
    try:
        with Path(path).open("rb") as file:
            return Reader(file, key, signature).is_whole()
    except NotGenuineError:
        return False


def key_of_files(key: str) -> str:
    """The key of the archive of a job's files: it can't pass for a result, which is unpickled."""
    return hmac.new(bytes.fromhex(key.strip()), b"files", hashlib.sha256).hexdigest()


def _index(file: IO[bytes]) -> tuple[bytes, int]:
    """The index of a file, and where it begins."""
    end = file.seek(0, os.SEEK_END) - _PLACE.size
    if end < 0:
        raise NotGenuineError(_WRONG)
    file.seek(end)
    (place,) = _PLACE.unpack(file.read(_PLACE.size))
    if place > end:
        raise NotGenuineError(_WRONG)
    file.seek(place)
    return file.read(end - place), place


def _signature(index: bytes, key: str) -> str:
    return hmac.new(bytes.fromhex(key.strip()), index, hashlib.sha256).hexdigest()
