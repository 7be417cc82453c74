"""Cells' source text travels with the functions that it defines, for tracebacks and for `inspect`.

A cell has no file: IPython keeps its lines in `linecache`, and its number in its compiler, under an
invented file name that the cell's functions carry.
"""

from __future__ import annotations

import linecache
import sys
from typing import Any, Iterable


def collect(filenames: Iterable[str]) -> dict[str, tuple[str, int | None]]:
    """The text and the number of those cells that `filenames` stand for; real files are left
    out."""
    numbers = _numbers()
    found = {}
    for filename in sorted(filenames):
        entry = linecache.cache.get(filename)
        if entry is not None and len(entry) == 4 and entry[1] is None:
            found[filename] = ("".join(entry[2]), numbers.get(filename))
    return found


def register(sources: dict[str, tuple[str, int | None]]) -> None:
    """Make cells' text known here; what is known already is kept."""
    numbers = _numbers()
    for filename, (text, number) in sources.items():
        if filename not in linecache.cache:
            lines = text.splitlines(keepends=True)
            linecache.cache[filename] = (len(text), None, lines, filename)
            if number is not None:
                numbers[filename] = number


def _numbers() -> dict[str, int]:
    """IPython's own table of cells' numbers, or an empty one."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    numbers: dict[str, int] | None = getattr(getattr(shell, "compile", None), "_filename_map", None)
    return {} if numbers is None else numbers
