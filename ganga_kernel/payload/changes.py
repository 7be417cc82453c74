"""Which values a cell changed in place, and which of them share objects.

A value's content is compared with itself, before and after, in one process: so a checksum of what a
pickler says of it will do, and no copy is kept.
"""

from __future__ import annotations

import types
import zlib
from typing import Any, Iterable, Mapping

from . import buffers, pickling

#: Values without content of their own that could change.
_FIXED = (
    type(None), bool, int, float, complex, str, bytes, range, type, types.ModuleType, types.FunctionType,
    types.BuiltinFunctionType,
)  # fmt: skip
#: Those of them that have no identity that matters.
_ATOMS = tuple(kind for kind in _FIXED if kind is not types.FunctionType)
#: Objects that many values share without being connected by it.
_COMMON = (*_FIXED, tuple, frozenset, types.CodeType)


def checksum(value: Any, namespace: dict[str, Any]) -> int | None:
    """A number for the value's content, which holds in this process; None if it can't be pickled."""
    sink = _Checksum()
    pickler = pickling.plain_pickler(sink, namespace, sink.take)
    return sink.value if _dumped(pickler, value) else None


def is_fixed(value: Any) -> bool:
    """Whether the value can't be changed in place, as far as a cell's neighbours could see."""
    return isinstance(value, _FIXED)


def has_identity(value: Any) -> bool:
    """Whether it matters which object the value is."""
    return not isinstance(value, _ATOMS)


def connected(names: Iterable[str], others: Iterable[str], namespace: dict[str, Any]) -> set[str]:
    """Those of `others` that share an inner object with one of `names`, or with one that does.

    To share the value of one of `others` itself doesn't count: that can be referred to by its name.
    """
    left = {name: namespace[name] for name in others}
    found: set[str] = set()
    while True:
        whole = {id(value): name for name, value in left.items()}
        reached: dict[int, Any] = {}  # kept alive, so that no object takes another's identity
        for name in (*names, *found):
            reached.update(_objects(namespace[name], namespace, whole))
        inner = {name: _objects(value, namespace, _without(whole, value)) for name, value in left.items()}
        new = {name for name, objects in inner.items() if not reached.keys().isdisjoint(objects)}
        if not new:
            return found
        found |= new
        for name in new:
            del left[name]


def _without(whole: dict[int, str], value: Any) -> dict[int, str]:
    return {key: name for key, name in whole.items() if key != id(value)}


def _objects(value: Any, namespace: dict[str, Any], whole: Mapping[int, str]) -> dict[int, Any]:
    """The mutable objects that a value consists of, by identity; those in `whole` are not looked into."""
    if id(value) in whole:
        return {}
    pickler = pickling.plain_pickler(_Checksum(), namespace, lambda _: None, whole)
    _dumped(pickler, value)
    seen = [value, *(one for _, one in pickler.memo.copy().values())]
    seen = [pickling.owner_of(one) if pickling.is_array(one) else one for one in seen]
    return {id(one): one for one in seen if not isinstance(one, _COMMON)}


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
