"""Which values a cell changed in place.

A value's content is compared with itself, before and after, in one process: so a checksum of what a
pickler says of it will do, and no copy is kept.
"""

from __future__ import annotations

import types
import zlib
from typing import Any

from . import buffers, pickling

#: Values without content of their own that could change.
_FIXED = (
    type(None), bool, int, float, complex, str, bytes, range, type, types.ModuleType,
    types.BuiltinFunctionType,
)  # fmt: skip


def checksum(value: Any, namespace: dict[str, Any]) -> int | None:
    """A number for the value's content, which holds in this process; None if it can't be pickled."""
    sink = _Checksum()
    pickler = pickling.plain_pickler(sink, namespace, sink.take)
    return sink.value if _dumped(pickler, value) else None


def is_fixed(value: Any) -> bool:
    """Whether the value can't be changed in place, as far as a cell's neighbours could see."""
    if isinstance(value, types.FunctionType):
        return not (value.__closure__ or value.__defaults__ or value.__kwdefaults__ or vars(value))
    return isinstance(value, _FIXED)


def _dumped(pickler: Any, value: Any) -> bool:
    try:
        pickler.dump(value)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - any class's own code may run here
        return False
    return True


class _Checksum:
    """A file that keeps a checksum only."""

    def __init__(self) -> None:
        self.value = 0

    def write(self, data: Any) -> int:
        self.value = zlib.crc32(data, self.value)
        return len(data)

    def take(self, buffer: Any) -> None:
        self.value = buffers.checksum(buffer.raw(), self.value)
