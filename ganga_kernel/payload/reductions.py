"""How objects travel that pickle refuses, or would only name, although they can be made anew.

An object of the notebook that is pickled by its name in ``__main__`` (a cached function, a sentinel, a
`typing.NewType`) isn't there yet when the reader looks for it. So it travels by what it is made of.
"""

from __future__ import annotations

import copyreg
import functools
import os
import sys
import types
import typing
import weakref
from typing import Any, Callable

#: Makes an object without calling its class's ``__init__``.
_NEW = copyreg.__newobj__  # type: ignore[attr-defined]
#: Flag of a class that was made at run time (Py_TPFLAGS_HEAPTYPE).
_HEAP_TYPE = 1 << 9


def reduction(kind: Any) -> Callable[[Any], Any] | None:
    """What reduces objects of a class, as ``__reduce_ex__`` would; None if pickle can do that itself."""
    if kind in _REDUCTIONS:
        return _REDUCTIONS[kind]
    if kind in copyreg.dispatch_table:
        return None
    if issubclass(kind, BaseException):
        return _exception if _takes_arguments_of_its_own(kind) else None
    if (kind.__reduce__, kind.__reduce_ex__) != (object.__reduce__, object.__reduce_ex__):
        return _own if kind.__module__ == "__main__" else None
    if kind.__module__ == "__main__" or not _names(kind, len(sys.modules)):
        return None
    return _constant


def _cached(function: Any) -> Any:
    """A function with `functools.lru_cache`; its cache is empty there."""
    if _is_importable(function):
        return NotImplemented
    typed = function.cache_parameters()["typed"] if hasattr(function, "cache_parameters") else False
    maxsize = function.cache_info().maxsize
    made_of = function.__wrapped__, maxsize, typed, functools._CacheInfo
    return type(function), made_of, vars(function)


def _cached_property(value: Any) -> Any:
    """Without its lock, which Python 3.11 and older keep."""
    state = {name: part for name, part in vars(value).items() if name != "lock"}
    return type(value), (value.func,), state


def _by_class(value: Any) -> Any:
    """What is known about classes, as `functools.singledispatch` keeps it; other keys would be gone there."""
    return (type(value), (dict(value),)) if all(isinstance(key, type) for key in value) else NotImplemented


def _new_type(value: Any) -> Any:
    return NotImplemented if _is_importable(value) else (_NEW, (type(value),), vars(value))


def _type_parameter(value: Any) -> Any:
    return NotImplemented if _is_importable(value) else (type(value), (value.__name__,))


def _takes_arguments_of_its_own(kind: type[BaseException]) -> bool:
    """Whether pickle would call ``__init__`` with ``args``, which may not be what it takes.

    An exception that keeps anything outside of its ``args`` and attributes must be left to it.
    """
    return (
        isinstance(kind.__init__, types.FunctionType)
        and (kind.__reduce__, kind.__reduce_ex__) == (BaseException.__reduce__, object.__reduce_ex__)
        and all(
            base.__basicsize__ == BaseException.__basicsize__ for base in kind.__mro__[:-1] if _is_c(base)
        )
    )


def _is_c(kind: type) -> bool:
    return not kind.__flags__ & _HEAP_TYPE


def _exception(value: BaseException) -> Any:
    return _NEW, (type(value), *value.args), vars(value) or None


def _constant(value: Any) -> Any:
    """An object without content that a module has under a name, as `dataclasses.MISSING`: it is that one."""
    kind: Any = type(value)
    _, arguments, *content = value.__reduce_ex__(2)
    if len(arguments) > 1 or any(part is not None for part in content):
        return NotImplemented
    module, name = _names(kind, len(sys.modules)).get(id(value), ("", ""))
    is_there = getattr(sys.modules.get(module), "__dict__", {}).get(name) is value
    return (getattr, (sys.modules[module], name)) if is_there else NotImplemented


@functools.lru_cache(maxsize=100)
def _names(kind: Any, _: int) -> dict[int, tuple[str, str]]:
    """Modules and names of a class's objects, by identity. (A plain object can be of any module.)"""
    modules = [kind.__module__] if kind is not object else sorted({*sys.modules} - {"__main__"})
    return {
        id(value): (module, name)
        for module in modules
        for name, value in list(getattr(sys.modules.get(module), "__dict__", {}).items())
        if type(value) is kind
    }


def _environ(value: Any) -> Any:
    """Each process has its own environment variables, and secrets among them."""
    return (getattr, (os, "environ")) if value is os.environ else NotImplemented


def _cell(cell: types.CellType) -> Any:
    """A variable of a function; filled once it is made, since it may hold a function that has it."""
    try:
        return types.CellType, (), (None, {"cell_contents": cell.cell_contents})
    except ValueError:
        return types.CellType, ()


def _own(value: Any) -> Any:
    """An object of a notebook's class that has its own way: a sentinel names itself."""
    reduced = value.__reduce_ex__(5)
    if not isinstance(reduced, str):
        return reduced
    return _NEW, (type(value),), getattr(value, "__dict__", None) or None


def _is_importable(value: Any) -> bool:
    """Whether an object is what its module has under its name."""
    found: Any = None if value.__module__ == "__main__" else sys.modules.get(value.__module__)
    for part in getattr(value, "__qualname__", value.__name__).split("."):
        found = getattr(found, part, None)
    return found is value


_REDUCTIONS: dict[type, Callable[[Any], Any]] = {
    type(functools.lru_cache()(len)): _cached,
    functools.cached_property: _cached_property,
    weakref.WeakKeyDictionary: _by_class,
    types.CellType: _cell,
    object: _constant,
    type(os.environ): _environ,
}
for _name, _reduce in (
    ("NewType", _new_type),
    ("ParamSpec", _type_parameter),
    ("TypeVarTuple", _type_parameter),
):
    if isinstance(getattr(typing, _name, None), type):  # NewType is a function up to Python 3.9
        _REDUCTIONS[getattr(typing, _name)] = _reduce
