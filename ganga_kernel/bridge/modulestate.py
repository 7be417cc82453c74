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
import time
import types
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, TypeVar

from . import code

_Told = TypeVar("_Told")
#: When this process began, or a minute before: clocks of file servers differ.
_BEGUN = time.time() - 60
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
    rebinds: names that its functions may bind
    """

    literals: dict[str, Any]
    binds: frozenset[str] | None
    rebinds: frozenset[str]


def edited(name: str) -> bool:
    """Whether a module has functions that its file, as it is now, hasn't."""
    codes = _of_file(name, _codes_in, since=_BEGUN)
    return codes is not None and any(_digest(one) not in codes for one in _codes(sys.modules[name]))


def changed(name: str) -> dict[str, Any]:
    """What was set in a module since it was imported, as far as it is plain data.

    What its own functions rebind counts only if that is all plain: a flag that says "connected" is of no use
    without the connection.
    """
    text = _of_file(name, _read)
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


def _of_file(name: str, read: Callable[..., _Told], since: float = 0.0) -> _Told | None:
    """What a function reads from the file of a loaded module.

    None if the module isn't loaded, has no such file, or one that wasn't changed since a time.
    """
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None or not spec.has_location or not spec.origin.endswith(".py"):
        return None
    try:
        state = os.stat(spec.origin)
        return read(spec.origin, state.st_mtime_ns, state.st_size) if state.st_ctime >= since else None
    except (OSError, SyntaxError, ValueError):  # the job's import says so
        return None


@functools.lru_cache(maxsize=10_000)
def _compiled(path: str, *_: int) -> tuple[bytes, list[types.CodeType]]:
    """The text of a file, and the code objects that it makes, that of the whole first."""
    with open(path, "rb") as file:
        text = file.read()
    whole = compile(text, path, "exec", dont_inherit=True)
    return text, [whole, *_within(whole)]


@functools.lru_cache(maxsize=10_000)
def _codes_in(path: str, *state: int) -> frozenset[bytes]:
    """Digests of the code of the functions in a file."""
    return frozenset(map(_digest, _compiled(path, *state)[1]))


@functools.lru_cache(maxsize=10_000)
def _read(path: str, *state: int) -> _Text:
    text, (whole, *inner) = _compiled(path, *state)
    tree = ast.parse(text)
    stores = [i.argval for i in dis.get_instructions(whole) if i.opname in ("STORE_NAME", "STORE_GLOBAL")]
    nodes = list(ast.walk(tree))
    rebinds = frozenset(name for node in nodes if isinstance(node, ast.Global) for name in node.names)
    literals = {
        name: value
        for statement in tree.body
        for name, value in _assignments(statement)
        if stores.count(name) == 1
    }
    star = any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in nodes)
    known = not star and _INDIRECT.isdisjoint(name for one in (whole, *inner) for name in one.co_names)
    return _Text(literals, rebinds.union(stores) if known else None, rebinds)


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
