"""Which names a cell changes: those that it binds, and those whose objects it changes in place.

`flow` tells what the cell and the functions of the notebook that it calls may do; here it gets what is known
of the notebook: its objects, and of what is pending the cells that bring it.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import flow, names, placeholders, reach


@dataclass(frozen=True)
class Effects:
    """What a cell does to names.

    Attributes
    ----------
    binds: names that it may bind
    mutates: names whose objects it may change in place
    links: for each name that it binds or uses, the others that may share an object with it afterwards
    atoms: names that it binds to nothing that could be changed
    """

    binds: frozenset[str]
    mutates: frozenset[str]
    links: dict[str, frozenset[str]]
    atoms: frozenset[str]


def _unknown(token: str) -> str:
    return ""


def effects(
    found: names.Names, namespace: dict[str, Any], source_of: Callable[[str], str] = _unknown
) -> Effects:
    """Tell what a cell changes, itself and through the notebook's functions.

    Parameters
    ----------
    source_of: the cell of a job, as Python, by the job's token
    """
    binds = set(found.binds)
    for name in reach.closure(found.reads, namespace):
        for function in _functions(namespace[name], namespace):
            binds |= names.globals_bound_by(function.__code__)

    def sources(pending: placeholders.Pending) -> list[ast.Module]:
        cells = [source_of(one._ganga_token) for one in placeholders.sources(pending)]
        return [names.parsed(cell) for cell in cells if cell]

    seen = flow.flow(found.tree, found.reads, binds, namespace, sources)
    return Effects(frozenset(binds) | seen.binds, seen.mutates, seen.links, seen.atoms)


def _functions(value: Any, namespace: dict[str, Any]) -> list[types.FunctionType]:
    """The functions of the notebook that a value is, or has as methods."""
    members = list(vars(value).values()) if isinstance(value, type) else [value]
    return [one for one in members if isinstance(one, types.FunctionType) and one.__globals__ is namespace]
