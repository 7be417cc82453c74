"""Which names a cell changes: those that it binds, and those whose objects it changes in place.

As far as syntax and types tell: a store into an item or attribute, ``del x[i]``, an augmented assignment, or
a method call, unless that method is known to leave its object alone; in the cell, and in the functions of the
notebook that it reaches. Of a pending object only the method's name is known.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from dataclasses import dataclass
from typing import Any

from . import names, reach, readers
from .placeholders import Pending


@dataclass(frozen=True)
class Effects:
    """What a cell does to names.

    Attributes
    ----------
    binds: names that it may bind
    mutates: names whose objects it may change in place
    """

    binds: frozenset[str]
    mutates: frozenset[str]


def effects(found: names.Names, namespace: dict[str, Any]) -> Effects:
    """Tell what a cell changes, itself and through the notebook's functions."""
    binds = set(found.binds)
    # Only a name whose value from before the cell is used: what the cell itself binds first is its own.
    called = frozenset(call for call in found.calls if call.name in found.reads)
    mutates = _changed(found.mutates & found.reads, called, namespace)
    for name in reach.closure(found.reads, namespace):
        for function in _functions(namespace[name], namespace):
            binds |= names.globals_bound_by(function.__code__)
            mutates |= _changed_by(function, namespace)
    return Effects(frozenset(binds), frozenset(mutates - set(_modules(mutates, namespace))))


def _changed(stored: frozenset[str], calls: frozenset[names.Call], namespace: dict[str, Any]) -> set[str]:
    called = {call.name for call in calls if call.name in namespace and _may_change(call, namespace)}
    return called | (stored & set(namespace))


def _may_change(call: names.Call, namespace: dict[str, Any]) -> bool:
    value = namespace[call.name]
    if type(value) is Pending:
        return call.in_place or not readers.sounds_like_reading(call.path[-1])
    return not readers.leaves_alone(value, call.path, call.in_place)


def _changed_by(function: types.FunctionType, namespace: dict[str, Any]) -> set[str]:
    """The globals whose objects a function changes, by its source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError, TypeError):
        return set()  # made without source: what it changes is noticed on the worker
    stored, calls = names.changes_in(tree)
    seen = frozenset(names.globals_of(function.__code__))
    return _changed(stored & seen, frozenset(call for call in calls if call.name in seen), namespace)


def _functions(value: Any, namespace: dict[str, Any]) -> list[types.FunctionType]:
    """The functions of the notebook that a value is, or has as methods."""
    members = list(vars(value).values()) if isinstance(value, type) else [value]
    return [one for one in members if isinstance(one, types.FunctionType) and one.__globals__ is namespace]


def _modules(found: set[str], namespace: dict[str, Any]) -> list[str]:
    return [name for name in found if isinstance(namespace[name], types.ModuleType)]
