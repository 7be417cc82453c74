"""What the syntax of a definition or a statement tells by itself. Pure."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
import types
from typing import Any, Union

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda]
#: What makes functions; those of them that are statements; what imports.
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
IMPORTS = (ast.Import, ast.ImportFrom)
#: The special methods that a condition calls, iterating, comparing, an unary operator, and formatting.
CONDITION = ("__bool__", "__len__")
ITERATION = ("__iter__", "__next__", "__aiter__", "__anext__")
COMPARISON = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__contains__", "__hash__")
UNARY = ("__neg__", "__pos__", "__invert__", *CONDITION)
TEXT = ("__str__", "__repr__", "__format__")
#: Those that a function may call of what it is given.
ANY = (
    *ITERATION, *COMPARISON, *UNARY, *TEXT, "__abs__", "__add__", "__call__", "__complex__", "__copy__",
    "__deepcopy__", "__float__", "__getitem__", "__index__", "__int__", "__radd__", "__reversed__",
    "__round__", "__array__", "__await__",
)  # fmt: skip


def scope(node: Function) -> list[ast.AST]:
    """The nodes of a function's own scope."""
    found: list[ast.AST] = []
    todo: list[ast.AST] = list(node.body) if isinstance(node.body, list) else [node.body]
    while todo:
        one = todo.pop()
        found.append(one)
        if not isinstance(one, (*FUNCTIONS, ast.ClassDef)):
            todo += ast.iter_child_nodes(one)
    return found


def parameters(node: Function) -> list[str]:
    """The names of a function's parameters."""
    args = node.args
    found = [*args.posonlyargs, *args.args, *([args.vararg] if args.vararg else [])]
    return [one.arg for one in (*found, *args.kwonlyargs, *([args.kwarg] if args.kwarg else []))]


def node_of(function: types.FunctionType) -> Function | None:
    """The syntax of a function; None if its source isn't there."""
    code = function.__code__
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, SyntaxError, TypeError):
        return None
    found: list[Any] = [
        one for one in ast.walk(tree)
        if isinstance(one, FUNCTIONS) and getattr(one, "name", "<lambda>") == code.co_name
        and len(parameters(one)) == _count(code)
    ]  # fmt: skip
    if len(found) > 1 and isinstance(found[0], ast.Lambda):
        return None  # which of a line's lambdas it is can't be told
    return found[0] if found else None


def _count(code: types.CodeType) -> int:
    return (
        code.co_argcount + code.co_kwonlyargcount
        + bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    )  # fmt: skip


@functools.lru_cache(maxsize=200)
def makers(tree: ast.Module) -> dict[str, list[ast.AST]]:
    """By name, the statements and targets that may bind it, in whatever scope."""
    found: dict[str, list[ast.AST]] = {}
    for node in ast.walk(tree):
        if isinstance(node, IMPORTS):
            for name in imported(node):
                found.setdefault(name, []).append(node)
        elif isinstance(node, (*DEFINITIONS, ast.ClassDef)):
            found.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.setdefault(node.id, []).append(node)
    return found


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The names that an import binds."""
    return [(alias.asname or alias.name).split(".")[0] for alias in node.names]


def matched(node: ast.AST) -> list[str]:
    """The names that a node binds as a pattern of a ``match`` statement; patterns in it are other nodes."""
    # By the classes' names, as Python 3.9 has none of them.
    return [
        name
        for kind, field in (("MatchAs", "name"), ("MatchStar", "name"), ("MatchMapping", "rest"))
        if type(node).__name__ == kind and (name := getattr(node, field))
    ]


def pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    """Targets and what they get, where both sides of an assignment are spelt out."""
    if not (isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)):
        return [(target, value)]
    spread = any(isinstance(one, ast.Starred) for one in (*target.elts, *value.elts))
    return [(target, value)] if spread else list(zip(target.elts, value.elts))


def operands(node: ast.expr) -> list[ast.expr]:
    """The expressions that an expression is made of."""
    return [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr)]


def keeps(node: ast.stmt) -> bool:
    """Whether what a definition makes has anything that could change: defaults, or a class's attributes."""
    if isinstance(node, FUNCTIONS):
        given = [one for one in (*node.args.defaults, *node.args.kw_defaults) if one is not None]
        return any(not isinstance(one, ast.Constant) for one in given)
    return isinstance(node, ast.ClassDef)


def joins(node: ast.BinOp) -> bool:
    """Whether it may put two containers together: ``x + 1`` doesn't, ``x + y`` may."""
    constant = any(isinstance(one, ast.Constant) for one in (node.left, node.right))
    return isinstance(node.op, (ast.Mult, ast.BitOr)) or (isinstance(node.op, ast.Add) and not constant)


def yields(node: ast.AST) -> bool:
    """Whether a function is a generator, or has one in it."""
    return any(isinstance(one, (ast.Yield, ast.YieldFrom)) for one in ast.walk(node))


def is_decorated(node: ast.AST) -> bool:
    """Whether a definition has decorators: it may be a property."""
    return bool(getattr(node, "decorator_list", ()))
