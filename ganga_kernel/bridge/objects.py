"""Content-addressed files of the spool."""

from __future__ import annotations

import hashlib
import os
import tempfile
from typing import Any, Callable, TypeVar

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


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    file.flush()
    file.seek(0)
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()
