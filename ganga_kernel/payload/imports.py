"""Modules that code imports, and submodules that the cell uses through their package."""

from __future__ import annotations

import ast
import dis
import importlib
import types
from typing import Any, Iterator


def imported_by(code: types.CodeType) -> Iterator[str]:
    """The modules that running the code may import; of ``from a import b`` also ``a.b``, were it one."""
    module = ""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            module = instruction.argval
            yield from (module,) if module else ()
        elif instruction.opname == "IMPORT_FROM" and module:
            yield f"{module}.{instruction.argval}"
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from imported_by(constant)


def import_submodules(source: str, namespace: dict[str, Any]) -> None:
    """Import ``a.b`` where the cell says ``a.b`` and the namespace holds the package ``a``.

    A package travels by its name, so what an ``import a.b`` of the notebook added to it is lost on
    the way. What can't be imported is the cell's affair.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        chain: list[str] = []
        at: ast.AST = node
        while isinstance(at, ast.Attribute):
            chain.insert(0, at.attr)
            at = at.value
        if chain and isinstance(at, ast.Name):
            _import_chain(namespace.get(at.id), chain)


def _import_chain(module: Any, chain: list[str]) -> None:
    for name in chain:
        if not isinstance(module, types.ModuleType):
            return
        if not hasattr(module, name):
            if not hasattr(module, "__path__"):
                return
            try:
                importlib.import_module(f"{module.__name__}.{name}")
            except ImportError:
                return
        module = getattr(module, name)
