"""Runs inside the notebook's kernel: the namespace as plain data, so that two of them can be compared.

Its source is executed there under another name; it imports nothing that the notebook hasn't.
"""

from __future__ import annotations

import inspect
import types
from typing import Any


def describe(namespace: dict[str, Any]) -> dict[str, Any]:
    """All of the user's names, by content; objects that are met again are told by number."""
    seen: dict[int, int] = {}
    keep: list[Any] = []
    found = {}
    for name in sorted(namespace):
        own = name.startswith("_") or name in ("In", "Out", "get_ipython", "exit", "quit", "open")
        # A name that a failed job was to bind says so to whoever reads it, where a local one isn't bound.
        if not own and type(namespace[name]).__name__ != "Pending":
            found[name] = _describe(namespace[name], seen, keep)
    outs = namespace.get("Out", {})
    found["Out"] = [[number, _describe(outs[number], seen, keep)] for number in sorted(outs)]
    return found


def _describe(value: Any, seen: dict[int, int], keep: list[Any]) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind in (float, complex, bytes, range):
        return [kind.__name__, repr(value)]
    if isinstance(value, types.ModuleType):
        return ["module", value.__name__]
    if isinstance(value, (types.FunctionType, type)):
        return ["code", value.__qualname__, _source(value)]
    if (
        kind.__module__.startswith(("numpy", "pandas", "awkward"))
        and hasattr(value, "dtype")
        and not hasattr(value, "shape")
    ):
        return [kind.__name__, repr(value)]
    if id(value) in seen:
        return ["again", seen[id(value)]]
    seen[id(value)] = len(seen)
    keep.append(value)
    if kind in (list, tuple, frozenset, set):
        items = sorted(value, key=repr) if kind in (set, frozenset) else value
        return [kind.__name__, *(_describe(item, seen, keep) for item in items)]
    if isinstance(value, dict):
        pairs = [[_describe(k, seen, keep), _describe(v, seen, keep)] for k, v in value.items()]
        return [kind.__name__, pairs]
    if kind.__name__ == "ndarray":
        return ["array", str(value.dtype), list(value.shape), _describe(value.tolist(), {}, keep)]
    if kind.__name__ == "Generator" and kind.__module__.startswith("numpy"):
        return [kind.__name__, repr(value.bit_generator.state)]
    if kind in (types.CellType, types.GeneratorType):
        return [kind.__name__]
    if kind.__module__.startswith(("pandas", "awkward")):
        return [kind.__name__, value.to_json() if hasattr(value, "to_json") else repr(value.to_list())]
    state = vars(value) if hasattr(value, "__dict__") else repr(value)
    return [kind.__qualname__, _describe(state, seen, keep) if isinstance(state, dict) else state]


def _source(value: Any) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return ""
