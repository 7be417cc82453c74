"""How a module of the user's own in the notebook differs from its file: what was set in it, or edited since.

A job imports a module anew. What the file binds to a literal (``DEBUG = False``, ``CUTS = {"pt": 20}``) it
would find as the file has it, so what these names hold in the notebook goes along if it differs, and so does
what was added to the module from outside. Plain data only: anything else may belong to this process (a
connection, a cache), or come from the machine that it runs on.
"""

from __future__ import annotations

import ast
import dis
import functools
import os
import pickle
import sys
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

from . import code

#: Bytes that the values of one module may take when they are pickled.
_MOST = 1_000_000
_ATOMS = frozenset((type(None), bool, int, float, complex, str, bytes))
#: Names by which code may bind any name of its module.
_INDIRECT = frozenset(("globals", "locals", "vars", "exec", "setattr"))
_SEQUENCES = frozenset((tuple, list, set, frozenset))


class _Text(NamedTuple):
    """What the text of a module says.

    Attributes
    ----------
    literals: what it binds to a literal, and to nothing else
    binds: all names that it may bind; None if that can't be known
    rebinds: names that its functions bind
    codes: digests of the code of its functions
    """

    literals: dict[str, Any]
    binds: frozenset[str] | None
    rebinds: frozenset[str]
    codes: frozenset[bytes]


def edited(name: str) -> bool:
    """Whether a module has functions that its file, as it is now, hasn't."""
    text = _text_of(name)
    if text is None:
        return False
    module = sys.modules[name]
    return any(_digest(one) not in text.codes for one in _codes(module))


def changed(name: str) -> dict[str, Any]:
    """What was set in a module since it was imported, as far as it is plain data.

    What its own functions rebind counts only if that is all plain: a flag that says "connected" is of no use
    without the connection.
    """
    text = _text_of(name)
    if text is None:
        return {}
    found, whole = {}, True
    for variable, value in vars(sys.modules[name]).items():
        if not _is_plain(value):
            whole = whole and variable not in text.rebinds
        elif variable in text.literals:
            literal = text.literals[variable]
            if type(value) is not type(literal) or value != literal:
                found[variable] = value
        elif text.binds is not None and variable not in text.binds and not variable.startswith("__"):
            found[variable] = value
    if not whole:
        found = {variable: value for variable, value in found.items() if variable not in text.rebinds}
    return found if len(pickle.dumps(found)) <= _MOST else {}


_digest = functools.lru_cache(maxsize=100_000)(code.digest)


def _text_of(name: str) -> _Text | None:
    """What the file of a loaded module says; None if the module isn't loaded, or has no such file."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None or not spec.has_location or not spec.origin.endswith(".py"):
        return None
    try:
        state = os.stat(spec.origin)
        return _read(spec.origin, state.st_mtime_ns, state.st_size)
    except (OSError, SyntaxError, ValueError):  # the job's import says so
        return None


@functools.lru_cache(maxsize=10_000)
def _read(path: str, *_: int) -> _Text:
    with open(path, "rb") as file:
        text = file.read()
    tree = ast.parse(text)
    whole = compile(text, path, "exec", dont_inherit=True)
    inner = list(_within(whole))
    stores = [i.argval for i in dis.get_instructions(whole) if i.opname in ("STORE_NAME", "STORE_GLOBAL")]
    rebinds = frozenset(
        i.argval for one in inner for i in dis.get_instructions(one) if i.opname == "STORE_GLOBAL"
    )
    literals = {
        name: value
        for statement in tree.body
        for name, value in _assignments(statement)
        if stores.count(name) == 1
    }
    star = any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree))
    known = not star and _INDIRECT.isdisjoint(name for one in (whole, *inner) for name in one.co_names)
    binds = rebinds.union(stores) if known else None
    return _Text(literals, binds, rebinds, frozenset(map(_digest, inner)))


def _assignments(statement: ast.stmt) -> Iterator[tuple[str, Any]]:
    """The names that a statement binds to a literal."""
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return
    try:
        value = ast.literal_eval(statement.value) if statement.value else None
    except (ValueError, TypeError):
        return
    yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))


def _within(outer: types.CodeType) -> Iterator[types.CodeType]:
    for constant in outer.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _within(constant)


def _codes(module: types.ModuleType) -> Iterator[types.CodeType]:
    """The code of a module's functions and methods that its file defines."""
    values = list(vars(module).values())
    for value in values:
        if isinstance(value, type) and value.__module__ == module.__name__:
            values += vars(value).values()
        elif isinstance(value, property):
            values.append(value.fget)
        elif isinstance(value, (staticmethod, classmethod)):
            values.append(value.__func__)
        elif isinstance(value, types.FunctionType) and value.__code__.co_filename == module.__file__:
            yield value.__code__


def _is_plain(value: Any) -> bool:
    """Whether a value is a number, a text, or a container of such. (One that holds itself isn't.)"""
    try:
        return _plain_within(value)
    except RecursionError:
        return False


def _plain_within(value: Any) -> bool:
    if type(value) in _SEQUENCES:
        return all(map(_plain_within, value))
    if type(value) is dict:
        return all(map(_plain_within, value)) and all(map(_plain_within, value.values()))
    return type(value) in _ATOMS
