"""What this process, its children and its scratch folder used."""

from __future__ import annotations

import contextlib
import os
import resource
import sys

#: Entries of the scratch folder that are looked at; a larger one's size isn't told.
_ENTRIES = 20_000


def used(wall: float, scratch: str | None) -> dict[str, float | None]:
    """The usage of an end event.

    Parameters
    ----------
    wall: seconds since the payload began
    scratch: the job's own folder on the worker; None if it has none

    Returns
    -------
    ``wall`` and ``cpu`` in seconds; ``memory``, the most that this process or one of its children had, and
    ``disk``, what is in the scratch folder now, in bytes. None where it isn't known.
    """
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "wall": wall,
        "cpu": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        "memory": max(own.ru_maxrss, children.ru_maxrss) * unit,
        "disk": None if scratch is None else disk(scratch),
    }


def disk(folder: str, entries: int = _ENTRIES) -> int | None:
    """Bytes that the files of a folder take on its disk; None if there are more than `entries`."""
    total, seen, folders = 0, 0, [folder]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as found:  # it may be gone by now
            for entry in found:
                seen += 1
                if seen > entries:
                    return None
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
    return total
