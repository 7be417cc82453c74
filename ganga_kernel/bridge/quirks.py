"""What objects of some libraries bring along when they are pickled, and isn't content."""

from __future__ import annotations

from typing import Any


def settled(value: Any, part: Any) -> Any:
    """The arguments or the state with which a value is pickled, less what isn't content.

    pandas' objects remember what was asked of them, an awkward array gets empty attributes when it is looked
    at, and a function of Numba's has an identity of its own in each process.
    """
    library = type(value).__module__.partition(".")[0]
    clean = _CLEAN.get(library)
    if clean is None:
        return part
    return tuple(map(clean, part)) if type(part) is tuple else clean(part)


def _pandas(part: Any) -> Any:
    if type(part) is dict:
        return {name: value for name, value in part.items() if name != "_cache"}
    return part


def _awkward(part: Any) -> Any:
    return None if type(part) is dict and not part else part


def _numba(part: Any) -> Any:
    states = getattr(part, "states", None)
    if type(states) is dict:
        return part.ctor, {name: value for name, value in states.items() if name != "uuid"}
    return part


_CLEAN = {"pandas": _pandas, "awkward": _awkward, "numba": _numba}
