"""The local variables of an error's frames, as short texts: for whoever looks into a failed job."""

from __future__ import annotations

import reprlib
import types
from typing import Any

#: Frames that are told, the innermost ones; names of each; characters of a value.
_FRAMES, _NAMES, _LENGTH = 6, 40, 200
#: Packages, and types of Python's, whose objects have a short repr, however large they are.
_BRIEF = frozenset({"numpy", "pandas", "datetime", "decimal", "fractions", "pathlib", "uuid"})
_BRIEF_TYPES = (bool, float, complex, range, type(None))


class _Short(reprlib.Repr):
    """Texts of values, short from the begin: a repr that is cut afterwards may take minutes and memory."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdeque = self.maxdict = 8
        self.maxstring = self.maxother = _LENGTH

    def repr_bytes(self, x: bytes, level: int) -> str:
        """The first bytes."""
        return repr(x[:_LENGTH]) + ("..." if len(x) > _LENGTH else "")

    repr_bytearray = repr_bytes

    def repr_instance(self, x: Any, level: int) -> str:
        """An object by its class and attributes, but for those whose own text is short."""
        kind = type(x)
        if kind in _BRIEF_TYPES or kind.__module__.partition(".")[0] in _BRIEF:
            return super().repr_instance(x, level)
        try:
            attributes = object.__getattribute__(x, "__dict__")
        except AttributeError:
            attributes = None  # it has slots, or is of compiled code
        if level <= 0 or type(attributes) is not dict:
            return f"{kind.__qualname__}(...)"
        parts = [
            f"{name}={self.repr1(attributes[name], level - 1)}" for name in list(attributes)[: self.maxdict]
        ]
        return f"{kind.__qualname__}({', '.join([*parts, '...'][: len(attributes)])})"


def frames_of(error: BaseException | None) -> list[dict[str, Any]]:
    """The innermost frames of an error's traceback, the innermost last.

    Returns
    -------
    For each ``function``, ``line`` and ``names``: its local variables and their texts. At the top of a cell
    these are the globals that the cell uses. Modules, functions and classes aren't told.
    """
    found = []
    tb = error.__traceback__ if error is not None else None
    while tb is not None:
        if tb.tb_frame.f_globals.get("__name__") != "IPython.core.interactiveshell":
            found.append(tb)
        tb = tb.tb_next
    return [_frame(tb) for tb in found[-_FRAMES:]]


def _frame(tb: types.TracebackType) -> dict[str, Any]:
    code, local = tb.tb_frame.f_code, tb.tb_frame.f_locals
    names = [name for name in code.co_names if name in local] if code.co_name == "<module>" else list(local)
    told = [name for name in names if not _is_code(local[name])]
    texts = {name: _text(local[name]) for name in told[:_NAMES]}
    return {"function": code.co_name, "line": tb.tb_lineno, "names": texts}


def _is_code(value: object) -> bool:
    return issubclass(type(value), (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type))


def _text(value: object) -> str:
    try:
        return _Short().repr(value)[: 2 * _LENGTH]
    except BaseException as error:  # noqa: BLE001 - whatever code of the object's raises
        return f"<its repr fails: {type(error).__name__}>"
