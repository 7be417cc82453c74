"""Which names a cell reaches: those that it reads, and what the notebook's own code behind them reads."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator
from typing import Any

from .names import globals_of

#: How many items of a container are looked into.
_ITEMS = 100


def closure(names: Iterable[str], namespace: dict[str, Any]) -> set[str]:
    """All names of `namespace` that using `names` may read.

    From a function of the notebook to the globals of its code, from a class to its methods, from an object
    to its class; also through the first items of containers. What this can't see, a placeholder's own
    error catches.
    """
    reached: set[str] = set()
    todo = [name for name in names if name in namespace]
    seen: set[int] = set()
    while todo:
        name = todo.pop()
        if name in reached:
            continue
        reached.add(name)
        found = _globals_behind(namespace[name], namespace, seen)
        todo += [other for other in found if other in namespace and other not in reached]
    return reached


def functions(value: Any) -> Iterator[types.FunctionType]:
    """The functions that calling a value may run, as far as `closure` looks."""
    return _functions_behind(value, set())


def _globals_behind(value: Any, namespace: dict[str, Any], seen: set[int]) -> Iterator[str]:
    for function in _functions_behind(value, seen):
        if function.__globals__ is namespace:
            yield from globals_of(function.__code__)


def _functions_behind(value: Any, seen: set[int]) -> Iterator[types.FunctionType]:
    stack = [value]
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, types.FunctionType):
            yield value
            stack += [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
            stack += list(value.__defaults__ or ())
            if hasattr(value, "__wrapped__"):
                stack.append(value.__wrapped__)
        elif isinstance(value, types.MethodType):
            stack += [value.__func__, value.__self__]
        elif isinstance(value, (staticmethod, classmethod)):
            stack.append(value.__func__)
        elif isinstance(value, property):
            stack += [part for part in (value.fget, value.fset, value.fdel) if part]
        elif isinstance(value, functools.partial):
            stack += [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, type):
            if value.__module__ == "__main__":
                stack += [*vars(value).values(), *value.__bases__]
        elif type(value) in (list, tuple, set, frozenset):
            stack += list(value)[:_ITEMS] if len(value) <= 10 * _ITEMS else []
        elif type(value) is dict:
            stack += list(value.values())[:_ITEMS] if len(value) <= 10 * _ITEMS else []
        elif type(value).__module__ == "__main__":
            stack.append(type(value))


def _filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
