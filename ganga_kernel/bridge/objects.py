"""Content-addressed files of the spool: the same content is there once."""

from __future__ import annotations

import hashlib
import os
import tempfile
import weakref
from typing import Any, Callable, TypeVar

from ..payload import buffers, pickling

_T = TypeVar("_T")


def store(objects: str, write: Callable[[Any], _T]) -> tuple[_T, str]:
    """Have a file written into the folder `objects`, and name it by its content: ``<sha256>.pkl``.

    Returns
    -------
    What `write` returned, and the file's path.
    """
    handle, path = tempfile.mkstemp(dir=objects, prefix="capture-")
    try:
        with os.fdopen(handle, "w+b") as file:
            written = write(file)
            digest = _digest(file)
        final = os.path.join(objects, f"{digest}.pkl")
        os.replace(path, final)
    except BaseException:
        os.unlink(path)
        raise
    return written, final


class Buffers:
    """Large buffers that belong to one capture: each is hashed once, and written once for all captures.

    Parameters
    ----------
    objects: folder of content-addressed files; a buffer becomes ``<digest>-<size>.buf`` there
    """

    def __init__(self, objects: str) -> None:
        self._objects = objects
        #: Digests by address and size, as long as the array that owns the memory lives.
        self._known: dict[tuple[int, int] | None, tuple[weakref.ref[Any] | None, str]] = {}

    def keep(self, buffer: memoryview) -> str:
        """See that there is a file that holds the buffer, and return its name.

        Raises
        ------
        OSError: it can't be written.
        """
        if self._may_be_there(buffer.nbytes):
            name = buffers.name_of(self.digest(buffer), buffer.nbytes)
            if self._is_whole(name, buffer.nbytes):
                return name
        handle, path = tempfile.mkstemp(dir=self._objects, prefix="capture-")
        try:
            with os.fdopen(handle, "wb") as file:
                digest = buffers.write(file.fileno(), 0, buffer)
            name = buffers.name_of(digest, buffer.nbytes)
            os.replace(path, os.path.join(self._objects, name))
        except BaseException:
            os.unlink(path)
            raise
        self._note(buffer, digest)
        return name

    def digest(self, buffer: Any) -> str:
        """The digest of a buffer."""
        view = memoryview(buffer)
        owner, digest = self._known.get(_place(view), (None, ""))
        if owner is not None and owner() is not None:
            return digest
        digest = buffers.digest(view)
        self._note(view, digest)
        return digest

    def _may_be_there(self, size: int) -> bool:
        """Whether a file has a buffer of this size: if so, it pays to hash before anything is written."""
        end = buffers.name_of("", size)
        with os.scandir(self._objects) as files:
            return any(file.name.endswith(end) for file in files)

    def _is_whole(self, name: str, size: int) -> bool:
        """Whether a file is there, and was not cut off when the machine crashed."""
        try:
            return os.stat(os.path.join(self._objects, name)).st_size == size
        except FileNotFoundError:
            return False

    def _note(self, buffer: memoryview, digest: str) -> None:
        if (place := _place(buffer)) is not None:
            owner = pickling.owner_of(buffer.obj)
            self._known[place] = weakref.ref(owner), digest


def _place(buffer: memoryview) -> tuple[int, int] | None:
    """Where the buffer of an array lies, and its size; None if it is of anything else."""
    array: Any = buffer.obj
    return (array.__array_interface__["data"][0], buffer.nbytes) if pickling.is_array(array) else None


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    file.flush()
    file.seek(0)
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()
