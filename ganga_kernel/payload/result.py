"""Which names the cell left, and the result file."""

from __future__ import annotations

import os
import re
import struct
import tempfile
from pathlib import Path
from typing import IO, Any, Iterable, NamedTuple

from . import changes, pickling, sealed, unpickling

_MISSING = object()
_PLACE = struct.Struct(">Q")
#: What IPython keeps for itself: In, Out, _, __, _i, _ih, _7, _i7, … and Python: __name__, …
_BOOKKEEPING = re.compile(r"(In|Out|exit|quit|get_ipython|_+|_(i+|ih|oh|dh|\d+|i\d+)|__.*__)\Z")


class Outcome(NamedTuple):
    """What a cell left.

    Attributes
    ----------
    names: names that it bound, or whose objects it changed
    deleted: inputs that it deleted
    unchanged: by identity, inputs that it left as they were, and their names
    """

    names: list[str]
    deleted: list[str]
    unchanged: dict[int, str]


class Values:
    """The values of a namespace before the cell, to tell what it binds.

    Parameters
    ----------
    hidden: names that the shell put there
    """

    def __init__(self, namespace: dict[str, Any], hidden: dict[str, Any]) -> None:
        self._hidden = hidden
        self._values = dict(namespace)

    def bound(self, namespace: dict[str, Any]) -> set[str]:
        """The names that the cell bound."""
        return {name for name in namespace if self._is_bound(name, namespace[name])}

    def _is_bound(self, name: str, value: Any) -> bool:
        return (
            value is not self._values.get(name, _MISSING)
            and value is not self._hidden.get(name, _MISSING)
            and _own(name)
        )


class Before(Values):
    """The namespace as it was before the cell, to tell what it binds, changes and deletes.

    Parameters
    ----------
    mutates: names of which syntax or type tell that the cell may change them in place
    hidden: see `Values`
    """

    def __init__(self, namespace: dict[str, Any], mutates: Iterable[str], hidden: dict[str, Any]) -> None:
        super().__init__(namespace, hidden)
        self._mutates = set(mutates)
        self._inputs = {n for n, v in namespace.items() if v is not hidden.get(n, _MISSING) and _own(n)}
        self._checksums = {
            name: changes.checksum(namespace[name], namespace)
            for name in self._inputs
            if name in self._mutates or not changes.is_fixed(namespace[name])
        }

    def outcome(self, namespace: dict[str, Any]) -> Outcome:
        """What the cell left in the namespace.

        With a changed object come the names of all inputs that share a part of it, so that they share it in
        the notebook as well.
        """
        bound = self.bound(namespace)
        same = self._inputs & set(namespace) - bound
        changed = bound | {name for name in same if self._is_changed(name, namespace)}
        free = {name for name in same - changed if changes.has_identity(namespace[name])}
        if changed and free:
            joined = changes.connected(changed, free, namespace)
            changed, free = changed | joined, free - joined
        unchanged = {id(namespace[name]): name for name in free}
        return Outcome(sorted(changed), sorted(self._inputs - set(namespace)), unchanged)

    def _is_changed(self, name: str, namespace: dict[str, Any]) -> bool:
        before = self._checksums.get(name, _MISSING)
        if before is _MISSING:
            return False
        after = changes.checksum(namespace[name], namespace)
        # What can't be pickled can't be compared: if the cell means to change it, the notebook is told why
        # it can't come back.
        return after != before or (after is None and name in self._mutates)


def _own(name: str) -> bool:
    return not _BOOKKEEPING.match(name)


def write(path: Path, namespace: dict[str, Any], left: Outcome, key: str) -> dict[str, Any]:
    """Write a result file, and return what the end event says about it.

    Only the names of the outcome travel: what their functions refer to besides is in the notebook already.
    Unchanged inputs are referred to; for a reader that hasn't got them they follow, in a stream of their
    own, whose place the last eight bytes tell. The file appears as a whole, or not at all.

    Raises
    ------
    OSError: the file can't be written.
    """
    skip = frozenset(namespace).difference(left.names)
    handle, temporary = tempfile.mkstemp(prefix=path.name + ".", dir=str(path.parent))
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            writer: Any = sealed.Writer(file)
            dumped = pickling.dump_namespace(
                namespace, left.names, writer, skip, gone=left.deleted, references=left.unchanged,
                keep=writer.keep,
            )  # fmt: skip
            end = writer.tell()
            pickling.dump_namespace(
                namespace, sorted(dumped.referred), writer, frozenset(namespace), keep=writer.keep
            )
            writer.write(_PLACE.pack(end))
            signature = writer.seal(key)
        path.unlink(missing_ok=True)  # ext4 writes a file to the disk at once that replaces another
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
    return describe(path, signature)


def load(
    file: IO[bytes],
    namespace: dict[str, Any],
    names: Iterable[str],
    same: Iterable[str],
    strictly: bool = True,
) -> None:
    """Load names of another cell's result into a namespace.

    Parameters
    ----------
    same: inputs of that cell that are the same objects in this namespace, under the same names
    strictly: see `unpickling.load_namespace`

    Raises
    ------
    LoadError, DependencyError, NotGenuineError: as `unpickling.load_namespace` does.
    """
    reader = sealed.Reader(file)  # the broker has verified it
    stream: Any = reader.stream
    stream.seek(-_PLACE.size, os.SEEK_END)
    (place,) = _PLACE.unpack(stream.read())
    stream.seek(place)
    referred = dict(unpickling.load_pairs(stream, namespace, strictly=strictly, fetch=reader.fetch))
    referred.update((name, namespace[name]) for name in same if name in namespace)
    stream.seek(0)
    unpickling.load_namespace(stream, namespace, frozenset(names), referred, strictly, reader.fetch)


def describe(path: Path, signature: str) -> dict[str, Any]:
    """What the end event says about a result file that is whole."""
    return {"file": path.name, "size": path.stat().st_size, "signature": signature}


def write_empty(path: Path) -> None:
    """Write a result file that holds nothing: HTCondor holds a job whose output file is missing.

    Raises
    ------
    OSError: the file can't be written.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
