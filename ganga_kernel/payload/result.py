"""Which names the cell left, and the result file."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any, Iterable

from . import changes, pickling

_MISSING = object()
#: What IPython keeps for itself: In, Out, _, __, _i, _ih, _7, _i7, … and Python: __name__, …
_BOOKKEEPING = re.compile(r"(In|Out|exit|quit|get_ipython|_+|_(i+|ih|oh|dh|\d+|i\d+)|__.*__)\Z")


class Before:
    """The namespace as it was before the cell.

    Parameters
    ----------
    surely: names that the cell surely binds anew; their values are not kept alive
    mutates: names of which syntax or type tell that the cell may change them in place
    hidden: names that the shell put there
    """

    def __init__(
        self,
        namespace: dict[str, Any],
        surely: Iterable[str],
        mutates: Iterable[str],
        hidden: dict[str, Any],
    ) -> None:
        self._surely, self._mutates, self._hidden = set(surely), set(mutates), hidden
        kept = {name: value for name, value in namespace.items() if name not in self._surely}
        self._values = kept
        self._inputs = {n for n, v in kept.items() if v is not hidden.get(n, _MISSING) and _own(n)}
        self._checksums = {
            name: changes.checksum(kept[name], namespace) for name in self._inputs if self._can_change(name)
        }

    def _can_change(self, name: str) -> bool:
        return name in self._mutates or not changes.is_fixed(self._values[name])

    def changed(self, namespace: dict[str, Any]) -> list[str]:
        """The names that the cell bound, or whose objects it changed.

        With a changed object come the names of all that share it, so that they share it there as well.
        """
        bound = {name for name in namespace if self._is_bound(name, namespace[name])}
        same = {name for name in self._inputs & set(namespace) if name not in bound}
        inside = {name for name in same if self._is_changed(name, namespace)}
        found = bound | inside
        rest = {name for name in same - inside if not changes.is_fixed(namespace[name])}
        if found and rest:
            found |= changes.connected(found, rest, namespace)
        return sorted(found)

    def deleted(self, namespace: dict[str, Any]) -> list[str]:
        """The inputs that the cell deleted."""
        return sorted(self._inputs - set(namespace))

    def _is_bound(self, name: str, value: Any) -> bool:
        if name in self._surely:
            return True
        return (
            value is not self._values.get(name, _MISSING)
            and value is not self._hidden.get(name, _MISSING)
            and _own(name)
        )

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


def write(
    path: Path, namespace: dict[str, Any], names: list[str], deleted: list[str], key: str
) -> dict[str, Any]:
    """Write names to a result file, and return what the end event says about it.

    Only `names` travel: what their functions refer to besides is in the notebook already. The file
    appears as a whole, or not at all.

    Raises
    ------
    OSError: the file can't be written.
    """
    skip = frozenset(namespace).difference(names)
    handle, temporary = tempfile.mkstemp(prefix=path.name + ".", dir=str(path.parent))
    try:
        with os.fdopen(handle, "wb") as file:
            pickling.dump_namespace(namespace, names, file, skip, gone=deleted)
        signature = pickling.sign(temporary, key)
        size = Path(temporary).stat().st_size
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
    return {"file": path.name, "size": size, "signature": signature}


def write_empty(path: Path) -> None:
    """Write a result file that holds nothing: HTCondor holds a job whose output file is missing.

    Raises
    ------
    OSError: the file can't be written.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
