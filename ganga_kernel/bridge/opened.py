"""The files that a cell opens by paths that stand in it: workers may not see them."""

from __future__ import annotations

import ast
import os

#: Functions that don't read the file that they name first, or need none; and beginnings of such names.
_NOT = frozenset(
    {"print", "len", "repr", "str", "format", "input", "remove", "unlink", "rename", "mkdir", "makedirs"}
)
_NOT_BEGINNINGS = ("to_", "save", "write", "dump", "export", "exists", "is_", "isfile", "isdir", "isinstance")
#: Folders that are every machine's own, or in reach of all.
_EVERYWHERE = ("/cvmfs/", "/dev/", "/etc/", "/proc/", "/sys/", "/usr/")


def opened(source: str) -> list[str]:
    """The files that are there and that a cell seems to open: the first argument of a call, as a literal.

    Parameters
    ----------
    source: the cell, as Python that compiles
    """
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    found = (path for call in calls if not _is_no_reader(call) and (path := _path(call)))
    return list(dict.fromkeys(found))


def _is_no_reader(call: ast.Call) -> bool:
    name = str(getattr(call.func, "attr", "") or getattr(call.func, "id", ""))
    if name in _NOT or name.startswith(_NOT_BEGINNINGS):
        return True
    modes = [*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    written = [one.value for one in modes if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return name == "open" and any(set(mode) & set("wx") for mode in written)


def _path(call: ast.Call) -> str | None:
    """The file that a call names first; uproot's ``file.root:tree`` is one, too."""
    first = call.args[0] if call.args else None
    if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return None
    text = first.value
    if not text or len(text) > 4096 or set(text) & set("\0\n") or text.startswith(_EVERYWHERE):
        return None
    return next((one for one in (text, text.rpartition(":")[0]) if one and os.path.isfile(one)), None)
