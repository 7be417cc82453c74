"""Which names the cell left, and the result file."""

from __future__ import annotations

import os
import re
import struct
import tempfile
from functools import partial
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterable, Mapping, NamedTuple

from . import buffers, changes, parts, pickling, sealed, unpickling
from .job import Job
from .parts import Key

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
    known: the parts of its inputs, which the notebook has, too
    changed: those of them whose content it may have changed
    """

    names: list[str]
    deleted: list[str]
    known: dict[Key, Any]
    changed: dict[Key, Any]


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
            and is_own(name)
        )


class Before(Values):
    """The namespace as it was before the cell, to tell what it binds, changes and deletes.

    Parameters
    ----------
    mutates: names of which syntax or type tell that the cell may change them in place
    surely: names that the cell surely binds, be it to the very object that they held
    hidden: see `Values`
    """

    def __init__(
        self, namespace: dict[str, Any], mutates: Iterable[str], surely: Iterable[str], hidden: dict[str, Any]
    ) -> None:
        super().__init__(namespace, hidden)
        self._mutates, self._surely = set(mutates), set(surely)
        inputs = {n: v for n, v in namespace.items() if v is not hidden.get(n, _MISSING) and is_own(n)}
        self._inputs = inputs
        self._checksums = {
            name: changes.checksum(value, namespace)
            for name, value in inputs.items()
            if name in self._mutates or not changes.is_fixed(value)
        }
        # What the cell means to change first: a part of several names goes by the name that tells so.
        in_turn = sorted(inputs, key=lambda name: (name not in self._mutates, name))
        self._parts = {name: parts.parts(inputs[name]) for name in in_turn}
        self._forms = {id(one): parts.form(one) for found in self._parts.values() for one in found}

    def outcome(self, namespace: dict[str, Any]) -> Outcome:
        """What the cell left in the namespace.

        The objects that its inputs held count, whatever their names hold now: others may hold them, too.
        """
        bound = self.bound(namespace)
        other = {name for name in self._checksums if self._is_other(name, namespace)}
        alike = {id(one) for name, found in self._parts.items() if name not in other for one in found}
        known: dict[Key, Any] = {}
        changed: dict[Key, Any] = {}
        met: set[int] = set()
        for name, found in self._parts.items():
            for number, one in enumerate(found):
                if id(one) in met or parts.form(one) != self._forms[id(one)]:
                    continue
                met.add(id(one))
                known[Key(name, number)] = one
                if id(one) not in alike:
                    changed[Key(name, number)] = one
        names = bound | ((other | self._surely) & set(namespace))
        return Outcome(sorted(names), sorted(set(self._inputs) - set(namespace)), known, changed)

    def _is_other(self, name: str, namespace: dict[str, Any]) -> bool:
        """Whether the object that the name held has another content."""
        now = parts.parts(self._inputs[name])
        if [id(one) for one in now] != [id(one) for one in self._parts[name]]:
            return True  # perhaps to an equal object in another's place
        before = self._checksums[name]
        after = changes.checksum(self._inputs[name], namespace)
        # What can't be pickled can't be compared: if the cell means to change it, the notebook is told why
        # it can't come back.
        return after != before or (after is None and name in self._mutates)


def is_own(name: str) -> bool:
    """Whether a name is the user's, and not IPython's or Python's."""
    return not _BOOKKEEPING.match(name)


def write(path: Path, namespace: dict[str, Any], left: Outcome, key: str) -> dict[str, Any]:
    """Write a result file, and return what the end event says about it.

    Only the names of the outcome travel: what their functions refer to besides is in the notebook already.
    Parts of inputs are referred to; for a reader that hasn't got them they follow, in a stream of their own,
    whose place the last eight bytes tell. The file appears as a whole, or not at all.

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
                namespace, left.names, writer, skip, gone=left.deleted, known=left.known,
                changed=left.changed, keep=writer.keep,
            )  # fmt: skip
            end = writer.tell()
            following = {
                _spelt(key): parts.shell(left.known[key]) if key in dumped.replaced else left.known[key]
                for key in sorted(dumped.referred)
            }
            pickling.dump_namespace(
                namespace, following, writer, frozenset(namespace), following, keep=writer.keep
            )
            writer.write(_PLACE.pack(end))
            signature = writer.seal(key)
        path.unlink(missing_ok=True)  # ext4 writes a file to the disk at once that replaces another
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
    return describe(path, signature)


class Known(Dict[Key, Any]):
    """The objects that a result refers to: those that the reader has, else as they follow in the file.

    Parameters
    ----------
    reader: the result file
    namespace: where functions that follow live
    """

    def __init__(self, reader: sealed.Reader, namespace: dict[str, Any], mine: Mapping[Key, Any]) -> None:
        super().__init__(mine)
        self._reader, self._namespace = reader, namespace
        self._rest: dict[str, Any] | None = None

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or (self._rest is not None and _spelt(key) in self._rest)  # type: ignore[arg-type]

    def __missing__(self, key: Key) -> Any:
        if self._rest is None:
            stream: Any = self._reader.open()
            stream.seek(-_PLACE.size, os.SEEK_END)
            (place,) = _PLACE.unpack(stream.read())
            stream.seek(place)
            self._rest, _ = unpickling.load_all(stream, self._namespace, fetch=self._reader.fetch)
        return self._rest[_spelt(key)]


def _spelt(key: Key) -> str:
    return f"{key.number} {key.name}"


def load(
    file: IO[bytes],
    namespace: dict[str, Any],
    names: Iterable[str],
    same: Mapping[str, list[int] | None],
    strictly: bool = True,
) -> None:
    """Load names of another cell's result into a namespace.

    Parameters
    ----------
    same: inputs of that cell that are in this namespace, too, under the same names: for each part of it the
        number that it has here, -1 if it hasn't; None if all have the same
    strictly: see `unpickling.load_namespace`

    Raises
    ------
    LoadError, DependencyError, NotGenuineError: as `unpickling.load_namespace` does.
    """
    mine: dict[Key, Any] = {}
    for name, numbers in same.items():
        found = parts.parts(namespace[name]) if name in namespace else []
        for there, here in enumerate(range(len(found)) if numbers is None else numbers):
            if 0 <= here < len(found):
                mine[Key(name, there)] = found[here]
    reader = sealed.Reader(file)  # the broker has verified it
    known = Known(reader, namespace, mine)
    unpickling.load_namespace(reader.stream, namespace, frozenset(names), known, strictly, reader.fetch)


def load_inputs(job: Job, namespace: dict[str, Any], loading: Callable[[Path], Any]) -> None:
    """Load what the notebook sent, and then what the jobs before this one left.

    What can't be made of a value here is no error until the cell uses it.

    Parameters
    ----------
    loading: a context manager for each file

    Raises
    ------
    OSError, LoadError, DependencyError, NotGenuineError: as `load` does, `LoadError` only if a file is
        damaged.
    """
    fetch = buffers.beside(job.namespace)
    with loading(job.namespace):
        _load_leniently(job.namespace, partial(unpickling.load_namespace, namespace=namespace, fetch=fetch))
    for one in job.inputs:
        with loading(one.file):
            _load_leniently(one.file, partial(load, namespace=namespace, names=one.names, same=one.same))


def _load_leniently(path: Path, load: Callable[..., object]) -> None:
    with path.open("rb") as file:
        try:
            load(file)
        except unpickling.LoadError:
            unpickling.forget_classes()
            file.seek(0)
            load(file, strictly=False)


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
