"""No frame of ours in a user's traceback."""

from __future__ import annotations

import types

_PACKAGE = __name__.rpartition(".")[0]


def strip(error: BaseException) -> None:
    """Take the payload's own frames out of an error's traceback, and out of those of its causes."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        error_or_none = todo.pop()
        if error_or_none is None or id(error_or_none) in seen:
            continue
        seen.add(id(error_or_none))
        error_or_none.__traceback__ = _without_ours(error_or_none.__traceback__)
        todo += [error_or_none.__cause__, error_or_none.__context__]


def begin_in(error: BaseException, filename: str) -> None:
    """Let an error's traceback begin with the first frame of a file; without one it has none."""
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename != filename:
        tb = tb.tb_next
    error.__traceback__ = tb


def _without_ours(tb: types.TracebackType | None) -> types.TracebackType | None:
    while tb is not None and _is_ours(tb):
        tb = tb.tb_next
    at = tb
    while at is not None:
        while at.tb_next is not None and _is_ours(at.tb_next):
            at.tb_next = at.tb_next.tb_next
        at = at.tb_next
    return tb


def _is_ours(tb: types.TracebackType) -> bool:
    name = tb.tb_frame.f_globals.get("__name__", "")
    return name == _PACKAGE or str(name).startswith(_PACKAGE + ".")
