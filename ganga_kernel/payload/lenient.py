"""Reading a pickle of which a part can't be made here: a missing package, a GPU that isn't there.

The part becomes an `Unavailable`, where it stands, and the rest is read. This is the slow way, for a pickle
that could not be read as it should.
"""

from __future__ import annotations

import pickle
import sys
from typing import Any, Callable

from .unavailable import Unavailable

#: How many objects of the stack an instruction takes, by its code, to put one in their place.
_TAKES = {pickle.REDUCE: 2, pickle.NEWOBJ: 2, pickle.NEWOBJ_EX: 3, pickle.BUILD: 2}
#: Instructions that fill the object on top of the stack with what they have taken from it.
_FILLS = (pickle.APPEND, pickle.APPENDS, pickle.SETITEM, pickle.SETITEMS, pickle.ADDITEMS)

_PurePython: Any = pickle._Unpickler


class Unpickler(_PurePython):  # type: ignore[misc]
    """An unpickler in pure Python that goes on after an error.

    Attributes
    ----------
    variable: whose value is being read
    """

    variable = ""
    dispatch = dict(_PurePython.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names; an `Unavailable` if it isn't here."""
        try:
            return super().find_class(module, name)
        except Exception as error:  # noqa: BLE001 - importing runs any code
            return self._unavailable(error, ())

    def _replace(self, made: Any, instead: Unavailable) -> None:
        """Forget an object that is half made: later parts of the pickle must not refer to it."""
        for key, value in self.memo.items():
            if value is made:
                self.memo[key] = instead

    def _unavailable(self, error: Exception, parts: Any) -> Unavailable:
        """What stands for an object that can't be made; if one of its parts couldn't, that tells why."""
        for part in parts:
            if type(part) is Unavailable:
                return part
        reason = f"it can't be made anew here: {type(error).__name__}: {str(error).rstrip('.')}"
        if isinstance(error, ImportError):
            reason += f" (see that {sys.executable} has the packages of the notebook's environment)"
        return Unavailable(self.variable, reason)


def _making(step: Callable[[Any], None], count: int) -> Callable[[Any], None]:
    def load(self: Any) -> None:
        parts = self.stack[-count:]
        rest = len(self.stack) - count
        try:
            step(self)
        except Exception as error:  # noqa: BLE001 - any class's own code may run here
            instead = self._unavailable(error, parts)
            del self.stack[rest:]
            self.append(instead)
            if step is _PurePython.load_build:
                self._replace(parts[0], instead)

    return load


def _filling(step: Callable[[Any], None]) -> Callable[[Any], None]:
    def load(self: Any) -> None:
        parts = list(self.stack)
        try:
            step(self)
        except Exception as error:  # noqa: BLE001 - any class's own code may run here
            instead = self._unavailable(error, [self.stack[-1], *parts])
            self._replace(self.stack[-1], instead)
            self.stack[-1] = instead

    return load


def _frozenset(self: Any) -> None:
    parts = list(self.stack)
    try:
        _PurePython.load_frozenset(self)
    except Exception as error:  # noqa: BLE001 - any class's own code may run here
        self.append(self._unavailable(error, parts))


for _code, _count in _TAKES.items():
    Unpickler.dispatch[_code[0]] = _making(Unpickler.dispatch[_code[0]], _count)
for _code in _FILLS:
    Unpickler.dispatch[_code[0]] = _filling(Unpickler.dispatch[_code[0]])
Unpickler.dispatch[pickle.FROZENSET[0]] = _frozenset
