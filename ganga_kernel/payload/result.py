"""Which names the cell left, and the result file."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any, Iterable

from . import pickling

#: What IPython keeps for itself: In, Out, _, __, _i, _ih, _7, _i7, … and Python: __name__, …
_BOOKKEEPING = re.compile(r"(In|Out|exit|quit|get_ipython|_+|_(i+|ih|oh|dh|\d+|i\d+)|__.*__)\Z")


class Before:
    """The namespace as it was before the cell.

    Parameters
    ----------
    binds: names that count as changed, whatever they hold. (Their values are not kept alive.)
    hidden: names that the shell put there
    """

    def __init__(self, namespace: dict[str, Any], binds: Iterable[str], hidden: dict[str, Any]) -> None:
        self._binds = set(binds)
        self._hidden = hidden
        self._values = {n: v for n, v in namespace.items() if n not in self._binds}

    def changed(self, namespace: dict[str, Any]) -> list[str]:
        """The names that the cell was expected to bind, has bound, or bound anew."""
        missing = object()
        return sorted(
            name
            for name, value in namespace.items()
            if name in self._binds
            or (
                value is not self._values.get(name, missing)
                and value is not self._hidden.get(name, missing)
                and not _BOOKKEEPING.match(name)
            )
        )


def write(path: Path, namespace: dict[str, Any], names: list[str], key: str) -> dict[str, Any]:
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
            pickling.dump_namespace(namespace, names, file, skip)
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
