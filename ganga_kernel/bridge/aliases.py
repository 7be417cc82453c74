"""Names that share objects: if a job changes one of them, the others have changed as well."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any

from ..payload import pickling

#: Objects looked at behind one name: enough for what people alias, little enough for a large structure.
_LOOKED_AT = 10_000
#: Values without an inside that could be shared and changed.
_ATOMS = (
    type(None), bool, int, float, complex, str, bytes, range, type, types.ModuleType, types.FunctionType,
    types.BuiltinFunctionType, types.MethodType,
)  # fmt: skip


def sharing(names: Iterable[str], namespace: dict[str, Any]) -> set[str]:
    """The other names of the namespace whose values share a mutable object with those of `names`.

    Found through containers, instances and views of arrays, as far as `_LOOKED_AT` objects go.
    """
    names = {name for name in names if name in namespace}
    if not names:
        return set()
    mine = set().union(*(_mutable_behind(namespace[name]) for name in names))
    others = [name for name in list(namespace) if name not in names and not name.startswith("_")]
    return (
        {name for name in others if not mine.isdisjoint(_mutable_behind(namespace[name]))} if mine else set()
    )


def _mutable_behind(value: Any) -> set[int]:
    """The identities of the mutable objects that a value consists of."""
    found: set[int] = set()
    todo = [value]
    looked_at = 0
    while todo and looked_at < _LOOKED_AT:
        one = todo.pop()
        looked_at += 1
        kind = type(one)
        if isinstance(one, _ATOMS) or id(one) in found:
            continue
        if kind in (tuple, frozenset):
            todo += one
            continue
        found.add(id(one))
        if kind in (list, set):
            todo += list(one)[:_LOOKED_AT]
        elif kind is dict:
            todo += list(one.values())[:_LOOKED_AT]
        elif pickling.is_array(one):
            todo.append(pickling.owner_of(one))
        elif isinstance(vars(kind).get("__dict__"), types.GetSetDescriptorType):
            todo += vars(one).values()
    return found
