"""Which names a cell reads and which it binds. Pure; Python 3.9 and newer.

Each simple statement of the top level is compiled by itself and its bytecode read: the compiler has already
decided which scope a name belongs to, so comprehensions, lambdas, class bodies, f-strings, walrus and
``global`` need no rules of ours. What is left to us is the order in which statements run.
"""

from __future__ import annotations

import ast
import dis
import functools
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from . import expand

_READS = {"LOAD_NAME", "LOAD_GLOBAL", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_GLOBALS"}
_BINDS = {"STORE_NAME"}
_GLOBAL_BINDS = {"STORE_GLOBAL"}
_DELETES = {"DELETE_NAME", "DELETE_GLOBAL"}
#: Statements that bind what they say when they end without an error.
_CERTAIN = (
    ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Import, ast.ImportFrom,
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef,
)  # fmt: skip


@dataclass(frozen=True)
class Names:
    """What a cell does with the names of the notebook.

    Attributes
    ----------
    reads: names whose value from before the cell it may use
    binds: names that it may bind
    deletes: names that it may delete
    surely: names that it surely binds, if it ends without an error
    tree: its syntax, with IPython's own syntax as code
    """

    reads: frozenset[str]
    binds: frozenset[str]
    deletes: frozenset[str]
    surely: frozenset[str] = frozenset()
    tree: ast.Module = field(default_factory=lambda: ast.Module([], []), compare=False)


def analyse(source: str) -> Names:
    """Analyse Python source (IPython's own syntax already transformed).

    A name counts as read unless it is surely bound before: in doubt, and in a function's body, which counts
    as run at its definition, it counts as read.

    Raises
    ------
    SyntaxError: as `compile` does.
    """
    tree = parsed(source)
    flow = _Flow()
    surely = flow.block(tree.body, frozenset())
    return Names(frozenset(flow.reads), frozenset(flow.binds), frozenset(flow.deletes), surely, tree)


@functools.lru_cache(maxsize=200)
def parsed(source: str) -> ast.Module:
    """The syntax of Python source, with IPython's own syntax as code.

    Raises
    ------
    SyntaxError: as `compile` does.
    """
    return expand.expanded(ast.parse(source))


class _Flow:
    """Walks statements in the order in which they run, and keeps which names are surely bound by then."""

    def __init__(self) -> None:
        self.reads: set[str] = set()
        self.binds: set[str] = set()
        self.deletes: set[str] = set()

    def block(self, statements: list[ast.stmt], bound: frozenset[str]) -> frozenset[str]:
        """Take statements in; returns what is surely bound after them."""
        for statement in statements:
            step = getattr(self, f"_{type(statement).__name__}", self._simple)
            bound = step(statement, bound)
        return bound

    def _take(self, node: ast.stmt, bound: frozenset[str]) -> Names:
        code = compile(
            ast.Module([node], []), "<cell>", "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True,
        )  # fmt: skip
        found = _scan(code)
        self.reads |= found.reads - bound
        self.binds |= found.binds
        self.deletes |= found.deletes
        return found

    def _evaluate(self, expression: ast.expr, bound: frozenset[str]) -> None:
        self._take(ast.copy_location(ast.Expr(expression), expression), bound)

    def _bind(self, target: ast.expr, bound: frozenset[str]) -> frozenset[str]:
        """Bind a loop's or a with's target."""
        value = ast.copy_location(ast.Constant(None), target)
        self._take(ast.copy_location(ast.Assign([target], value), target), bound)
        return bound | _stored(target)

    def _simple(self, node: ast.stmt, bound: frozenset[str]) -> frozenset[str]:
        if isinstance(node, (ast.Break, ast.Continue)):  # which compile in their loop only
            return bound
        found = self._take(node, bound)
        certain = _targets(node) if isinstance(node, _CERTAIN) else frozenset()
        return (bound | certain) - found.deletes

    def _If(self, node: ast.If, bound: frozenset[str]) -> frozenset[str]:
        self._evaluate(node.test, bound)
        return self.block(node.body, bound) & self.block(node.orelse, bound)

    def _While(self, node: ast.While, bound: frozenset[str]) -> frozenset[str]:
        self._evaluate(node.test, bound)
        return self.block(node.body, bound) & self.block(node.orelse, bound) & bound

    def _For(self, node: ast.For, bound: frozenset[str]) -> frozenset[str]:
        self._evaluate(node.iter, bound)
        return self.block(node.body, self._bind(node.target, bound)) & self.block(node.orelse, bound) & bound

    def _With(self, node: ast.With, bound: frozenset[str]) -> frozenset[str]:
        for item in node.items:
            self._evaluate(item.context_expr, bound)
            if item.optional_vars is not None:
                bound = self._bind(item.optional_vars, bound)
        return self.block(node.body, bound) & bound  # the manager may end the body early

    def _Try(self, node: ast.Try, bound: frozenset[str]) -> frozenset[str]:
        after = self.block(node.orelse, self.block(node.body, bound))
        for handler in node.handlers:
            if handler.type is not None:
                self._evaluate(handler.type, bound)
            name = frozenset({handler.name} if handler.name else ())
            self.binds |= name
            after &= self.block(handler.body, bound | name)
        return after | self.block(node.finalbody, bound)

    def _Match(self, node: Any, bound: frozenset[str]) -> frozenset[str]:
        self._evaluate(node.subject, bound)
        for case in node.cases:
            head = type(case)(case.pattern, case.guard, [ast.copy_location(ast.Pass(), node)])
            none = ast.copy_location(ast.Constant(None), node)
            captured = frozenset(_captures(case.pattern))
            self._take(ast.copy_location(type(node)(none, [head]), node), bound | captured)
            self.block(case.body, bound | captured)
        return bound

    _AsyncFor, _AsyncWith, _TryStar = _For, _With, _Try


def globals_within(source: str) -> set[str]:
    """The global names that functions and classes defined in this source refer to."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(source, "<cell>", "exec", flags=flags, dont_inherit=True)
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set().union(*map(globals_of, inner))


def globals_of(code: CodeType) -> set[str]:
    """The global names that a function's code refers to, its inner functions included."""
    found = _scan(code, top=False)
    return set(found.reads | found.binds | found.deletes)


def globals_bound_by(code: CodeType) -> frozenset[str]:
    """The global names that a function's code binds or deletes."""
    found = _scan(code, top=False)
    return found.binds | found.deletes


def _scan(code: CodeType, top: bool = True) -> Names:
    reads: set[str] = set()
    binds: set[str] = set()
    deletes: set[str] = set()
    own: set[str] = set()
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname in _READS:
            reads.add(name)
        elif instruction.opname in _GLOBAL_BINDS or (top and instruction.opname in _BINDS):
            binds.add(name)
        elif instruction.opname in _BINDS:
            own.add(name)  # a class body's own name
        elif instruction.opname in _DELETES:
            deletes.add(name)
    reads -= own
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = _scan(constant, top=False)
            reads |= inner.reads
            binds |= inner.binds
            deletes |= inner.deletes
    return Names(frozenset(reads), frozenset(binds), frozenset(deletes))


def _targets(statement: ast.stmt) -> frozenset[str]:
    """The names that a statement surely binds."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return frozenset({statement.name})
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return frozenset((alias.asname or alias.name).split(".")[0] for alias in statement.names)
    if isinstance(statement, ast.Assign):
        return frozenset().union(*(_stored(target) for target in statement.targets))
    if isinstance(statement, ast.AugAssign) or (isinstance(statement, ast.AnnAssign) and statement.value):
        return _stored(statement.target)
    return frozenset()


def _stored(target: ast.expr) -> frozenset[str]:
    return frozenset(
        node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )


def _captures(pattern: Any) -> set[str]:
    """The names that a match pattern binds."""
    nodes = list(ast.walk(pattern))
    return {
        name for node in nodes for name in (getattr(node, "name", None), getattr(node, "rest", None)) if name
    }
