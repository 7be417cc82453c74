"""The items of a map: the file in which they travel to the tasks, and the results of several in one file.

To the tasks: for each item one namespace stream, and at the end an index, so that a task reads its own
items only. Back: for each item its number, whether it ended well, and one namespace stream.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import IO, Any, Iterable, Iterator, NamedTuple

from . import pickling, unpickling
from .sealed import Reader, Writer

_PLACE = struct.Struct("<Q")
_HEADER = struct.Struct("<Q?")
#: The name under which a failed item's exception is written.
_EXCEPTION = "exception"


class ItemError(Exception):
    """An item can't be pickled; the text says which one, and why."""


class Result(NamedTuple):
    """What came back of one item.

    Attributes
    ----------
    values: what it bound, by name
    exception: what it raised; None if it ended well
    """

    item: int
    values: dict[str, Any]
    exception: Any


def write(file: IO[bytes], namespace: dict[str, Any], names: list[str], rows: Iterable[Any]) -> set[str]:
    """Write the values that the map's names have for each item; what is behind them doesn't travel along.

    Returns
    -------
    The modules that loading them imports, see `pickling.Dumped`.

    Raises
    ------
    ItemError: one can't be pickled.
    """
    skip = frozenset(namespace).difference(names)
    places = []
    modules: set[str] = set()
    for item, row in enumerate(rows):
        places.append(file.tell())
        dumped = pickling.dump_namespace(namespace, names, file, skip, dict(zip(names, row)))
        for reason in dumped.unpicklable.values():
            raise ItemError(f"Item {item} can't travel: {reason}")
        modules |= dumped.modules
    file.write(b"".join(map(_PLACE.pack, [*places, len(places)])))
    return modules


def load(path: Path, item: int, namespace: dict[str, Any]) -> None:
    """Load the values of one item into a namespace.

    Raises
    ------
    LoadError, DependencyError: as `unpickling.load_namespace` does.
    """
    with path.open("rb") as file:
        file.seek(-_PLACE.size, os.SEEK_END)
        count = _next(file, _PLACE)[0]
        file.seek(-_PLACE.size * (count + 1 - item), os.SEEK_END)
        file.seek(_next(file, _PLACE)[0])
        unpickling.load_namespace(file, namespace)


def append(file: Writer, item: int, namespace: dict[str, Any], names: Iterable[str]) -> None:
    """Append what an item bound to a result file."""
    _append(file, item, True, namespace, names)


def append_failure(
    file: Writer, item: int, namespace: dict[str, Any], exception: BaseException | None,
    error: dict[str, Any],
) -> None:  # fmt: skip
    """Append what an item raised to a result file: the exception, or what reads like it.

    Parameters
    ----------
    exception: None if only its description is known
    error: its description: ``ename`` and ``evalue``
    """
    usable = exception is not None and _travels(exception, namespace)
    namespace[_EXCEPTION] = exception if usable else like(error)
    _append(file, item, False, namespace, [_EXCEPTION])


def like(error: dict[str, Any]) -> BaseException:
    """An exception of the name and with the text of the described one."""
    made: BaseException = type(error["ename"], (Exception,), {"__module__": "__main__"})(error["evalue"])
    return made


def read(file: Reader, namespace: dict[str, Any]) -> Iterator[Result]:
    """The results in a file; functions of the notebook live in `namespace`.

    Raises
    ------
    LoadError, DependencyError, NotGenuineError: as `unpickling.load_all` does.
    """
    stream: Any = file.stream
    while stream.peek(1):
        item, good = _next(stream, _HEADER)
        values = unpickling.load_all(stream, namespace, fetch=file.fetch)
        yield Result(item, values, None) if good else Result(item, {}, values[_EXCEPTION])


def _append(file: Writer, item: int, good: bool, namespace: dict[str, Any], names: Iterable[str]) -> None:
    file.write(_HEADER.pack(item, good))
    stream: Any = file
    pickling.dump_namespace(namespace, names, stream, frozenset(namespace).difference(names), keep=file.keep)
    file.flush()  # a child that a later item forks must not hold a part of it


def _travels(exception: BaseException, namespace: dict[str, Any]) -> bool:
    """Whether an exception survives the journey: many that take arguments of their own don't."""
    file = io.BytesIO()
    dumped = pickling.dump_namespace(
        namespace, [_EXCEPTION], file, frozenset(namespace), {_EXCEPTION: exception}
    )
    file.seek(0)
    try:
        unpickling.load_namespace(file, {})
    except unpickling.LoadError:
        return False
    return not dumped.unpicklable


def _next(file: IO[bytes], form: struct.Struct) -> tuple[Any, ...]:
    return form.unpack(file.read(form.size))
