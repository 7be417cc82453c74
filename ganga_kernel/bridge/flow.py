"""What a cell may change in place, and which names may share objects after it: a points-to analysis.

A label stands for objects: one for all that a name of the notebook reaches when the cell begins, and one
for what each display, call or definition makes. Order and branches don't count: a name may be whatever it is
bound to anywhere, an object may hold whatever is stored into it anywhere, and the code of the notebook's
functions is looked into where they are called. So what is found may happen; what isn't found can't, as far as
code can be seen. Of a library's code only the names of what changes its arguments are known (`readers`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from . import placeholders, reach, readers, syntax
from .called import Calls
from .placeholders import Pending
from .world import EXPRESSION, NONE, Label, Labels, TooMuch, Unit

#: Rounds after which the analysis gives up, and takes all to share and change all.
_ROUNDS = 20


@dataclass(frozen=True)
class Flow:
    """What a cell may do.

    Attributes
    ----------
    mutates: names of the notebook whose objects it may change
    binds: names that functions which it calls may bind
    links: for each name that it binds or uses: the others that may share an object with it, and the name
        itself if it may share one with what it held before
    atoms: names that it binds to nothing that could be changed
    """

    mutates: frozenset[str]
    binds: frozenset[str]
    links: dict[str, frozenset[str]]
    atoms: frozenset[str]


def flow(
    tree: ast.Module, reads: frozenset[str], binds: Iterable[str], namespace: dict[str, Any],
    sources: Callable[[Pending], list[ast.Module]],
) -> Flow:  # fmt: skip
    """Analyse a cell.

    Parameters
    ----------
    tree: the cell
    reads: names whose values from before the cell it may use
    binds: names that it may bind
    sources: the cells whose jobs may bring a pending name
    """
    cell = Unit(tree, None, inputs=reads, runs=True)
    found = _Analysis(cell, namespace, sources)
    try:
        if found.complete():
            mutates = frozenset(one for one in found.changed if isinstance(one, str) and found.counts(one))
            atoms = frozenset(name for name, value in cell.env.items() if not value)
            return Flow(mutates, frozenset(found.bound), _links(found, binds), atoms)
    except (TooMuch, RecursionError):
        pass  # there is very much of it, or it is nested very deeply
    reached = _reached(reads, namespace)
    mutates = frozenset(name for name in reached if found.counts(name))
    bound = frozenset(found.bound).union(*(unit.shared for unit in found.units.values()))
    everything = mutates | frozenset(binds) | bound
    links = dict.fromkeys(everything, everything)
    return Flow(mutates, bound, links, frozenset())


def _reached(reads: Iterable[str], namespace: dict[str, Any]) -> set[str]:
    """All names that a cell may use, whatever it does with them."""
    names: set[str] = set(reads)
    while True:
        reached = reach.closure(names, namespace)
        pending = [value for name in reached if type(value := namespace[name]) is Pending]
        behind = {name for one in pending for at in placeholders.sources(one) for name in at._ganga_behind}
        if behind & namespace.keys() <= reached:
            return reached
        names |= behind


def _links(found: _Analysis, binds: Iterable[str]) -> dict[str, frozenset[str]]:
    env = found.cell.env
    objects = {name: found.reach({name}) for name in found.seen if isinstance(name, str)}
    for name in binds:
        value = objects.get(name, NONE) | found.reach(env.get(name, ()))
        objects[name] = frozenset(one for one in value if not isinstance(one, str) or found.counts(one))
    holders: dict[Any, set[str]] = {}
    for name, mine in objects.items():
        for one in mine:
            holders.setdefault(one, set()).add(name)
    same: dict[frozenset[str], frozenset[str]] = {}  # most objects of a name are held by the same others
    groups = {
        one: same.setdefault(held, held) for one, held in zip(holders, map(frozenset, holders.values()))
    }
    links = {
        name: frozenset().union(*{groups[one] for one in mine}) - {name} for name, mine in objects.items()
    }
    kept = {name for name in env.keys() & links.keys() if name in found.reach(env[name])}
    return {name: others | {name} if name in kept else others for name, others in links.items()}


class _Analysis(Calls):
    """What statements and expressions do."""

    def complete(self) -> bool:
        """Take in what all code does that may run, until there is nothing new; whether it came to that."""
        for _ in range(_ROUNDS):
            before = self.size()
            for unit in list(self.units.values()):
                if unit.runs:
                    self.run(unit)
            if self.size() == before:
                return True
        return False

    def run(self, unit: Unit) -> None:
        """Take in what the code of a unit does."""
        node = unit.node
        if isinstance(node, ast.Lambda):
            unit.returns |= self.value(node.body, unit)
        else:
            self._block(node.body, unit)  # type: ignore[attr-defined]

    def _block(self, statements: Iterable[ast.stmt], unit: Unit) -> None:
        for statement in statements:
            self._statement(statement, unit)

    def _statement(self, node: ast.AST, unit: Unit) -> None:
        if isinstance(node, syntax.DEFINITIONS):
            made = self._function(node, unit)
            for decorator in node.decorator_list:
                made |= self._call(decorator, self.value(decorator, unit), [made], [], unit, decorator)
            self.bind(node.name, made, unit)
        elif isinstance(node, ast.ClassDef):
            self._class(node, unit)
        elif isinstance(node, syntax.IMPORTS):
            for name in syntax.imported(node):
                self.bind(name, NONE, unit)
        elif isinstance(node, ast.Return):
            unit.returns |= self._maybe(node.value, unit)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                for part, expression in syntax.pairs(target, node.value):
                    self._assign(part, self.value(expression, unit), unit)
        elif isinstance(node, ast.AnnAssign):
            self._assign(node.target, self._maybe(node.value, unit), unit)
        elif isinstance(node, ast.AugAssign):
            self._augment(node, unit)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._iterate(node.target, node.iter, unit)
            self._block([*node.body, *node.orelse], unit)
        elif isinstance(node, (ast.If, ast.While, ast.Assert)):
            self._special(syntax.CONDITION, self.value(node.test, unit), [])
            self._children(node, unit)
        elif isinstance(node, ast.Raise):
            self.raised |= self._maybe(node.exc, unit)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                value = self.value(item.context_expr, unit)
                self._special(("__exit__", "__aexit__"), value, [])
                value = self.reach(value) | self._special(("__enter__", "__aenter__"), value, [])
                if item.optional_vars is not None:
                    self._assign(item.optional_vars, value, unit)
            self._block(node.body, unit)
        elif isinstance(node, ast.Delete):
            for target in node.targets:
                if isinstance(target, (ast.Subscript, ast.Attribute)):
                    base = self.value(target.value, unit)
                    self.store(base, ())
                    self._special(("__delitem__", "__delattr__"), base, [])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            self.bind(node.name, self.make(node) | self.raised, unit)
            self._children(node, unit)
        elif type(node).__name__ == "Match":
            subject = self.reach(self.value(node.subject, unit))  # type: ignore[attr-defined]
            for captured in (name for one in ast.walk(node) for name in syntax.matched(one)):
                self.bind(captured, subject, unit)
            self._children(node, unit)
        elif isinstance(node, ast.expr):
            self.value(node, unit)
        else:
            self._children(node, unit)

    def _children(self, node: ast.AST, unit: Unit) -> None:
        for child in ast.iter_child_nodes(node):
            self._statement(child, unit)

    def _assign(self, target: ast.expr, value: Labels, unit: Unit) -> None:
        if isinstance(target, ast.Name):
            self.bind(target.id, value, unit)
        elif isinstance(target, (ast.Tuple, ast.List)):
            items = self._items(value)
            for one in target.elts:
                self._assign(one, items, unit)
        elif isinstance(target, ast.Starred):
            self._assign(target.value, value | self.make(target, self.load(value)), unit)
        elif isinstance(target, (ast.Subscript, ast.Attribute)):
            base = self.value(target.value, unit)
            if isinstance(target, ast.Subscript):
                key = self.value(target.slice, unit)
                if isinstance(target.slice, ast.Slice):
                    value |= self._items(value)
                self._special(("__setitem__",), base, [key, value])
            else:
                self._methods_of(target.attr, base, [value])
                self._special(("__setattr__",), base, [NONE, value])
                self._special(("__set__",), self.load(base), [base, value])
            self.store(base, value)

    def _augment(self, node: ast.AugAssign, unit: Unit) -> None:
        value = self.value(node.value, unit)
        if isinstance(node.target, ast.Name):
            old = self.look_up(node.target.id, unit)
            self.bind(node.target.id, old, unit)
        else:
            base = self.value(node.target.value, unit)
            old = self.load(base)
            self.store(base, ())
        self.store(old, self.load(value))
        for prefix in ("__i", "__"):
            self._operator(prefix, node.op, old, value)

    def _iterate(self, target: ast.expr, iterated: ast.expr, unit: Unit) -> None:
        value = self.value(iterated, unit)
        self._assign(target, self._items(value), unit)

    def _function(self, node: syntax.Function, unit: Unit) -> Labels:
        """A definition makes a function, which holds its defaults and what it captures."""
        inner = self.units.setdefault(node, Unit(node, unit))
        defaults = [one for one in (*node.args.defaults, *node.args.kw_defaults) if one is not None]
        held = frozenset().union(*(self.value(one, unit) for one in defaults)) if defaults else NONE
        for name in syntax.parameters(node) if held else ():
            self.bind(name, held, inner)
        if unit.parent is not None or unit.free:
            for one in ast.walk(node):
                if isinstance(one, ast.Name) and one.id not in inner.own:
                    held |= self.look_up(one.id, unit)
        inner.me.add(node)
        self._code[node] = [inner]
        return self.make(node, held)

    def _class(self, node: ast.ClassDef, unit: Unit) -> None:
        self._take_class(node, unit)
        held: set[Label] = set()
        for expression in (*node.bases, *(one.value for one in node.keywords)):
            held |= self.value(expression, unit)
        made = self.make(node, held)
        for statement in node.body:
            if isinstance(statement, syntax.DEFINITIONS):
                self._function(statement, unit)
            elif isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
                self.contents[node] |= self.value(statement.value, unit)
            else:
                self._statement(statement, unit)
        self._classes.add(node)
        self._special(("__init_subclass__",), made, [])
        self._special(("__set_name__",), self.load(made), [made])
        for decorator in node.decorator_list:
            returned = self._call(decorator, self.value(decorator, unit), [made], [], unit, decorator)
            made |= returned - {decorator}  # a library's returns the class
        self.bind(node.name, made, unit)

    def _maybe(self, node: ast.expr | None, unit: Unit) -> Labels:
        return NONE if node is None else self.value(node, unit)

    def value(self, node: ast.expr, unit: Unit) -> Labels:
        """What an expression may be."""
        if isinstance(node, ast.Constant):
            return NONE
        self._spend(EXPRESSION)
        if isinstance(node, ast.Name):
            return self.look_up(node.id, unit)
        if isinstance(node, ast.Call):
            return self._called(node, unit)
        if isinstance(node, ast.Attribute):
            found = self.value(node.value, unit)
            if node.attr in readers.CONTAINER_CHANGERS:  # to hand on, as in ``map(rows.append, found)``
                self.store(found, ())
            read = self._special(("__getattr__", "__getattribute__"), found, [])
            read |= self._special(("__get__",), self.load(found), [found])
            return self.load(found) | self._methods_of(node.attr, found, None) | read
        if isinstance(node, ast.Subscript):
            key = self.value(node.slice, unit)
            found = self.value(node.value, unit)
            self.store({one for one in found if isinstance(one, str) and self._fills_in(one)}, ())
            self._special(syntax.COMPARISON, key, [])
            return self.load(found) | self._special(("__getitem__", "__missing__"), found, [key])
        if isinstance(node, ast.Lambda):
            return self._function(node, unit)
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            for one in node.generators:
                self._iterate(one.target, one.iter, unit)
                for test in one.ifs:
                    self._special(syntax.CONDITION, self.value(test, unit), [])
            parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            return self.make(node, frozenset().union(*(self.value(part, unit) for part in parts)))
        if isinstance(node, ast.NamedExpr):
            value = self.value(node.value, unit)
            self._assign(node.target, value, unit)
            return value
        if isinstance(node, ast.BinOp):
            left, right = self.value(node.left, unit), self.value(node.right, unit)
            inside = self.load(left).union(self.load(right)) - left - right
            # The sum of two lists holds their items. Those of the notebook's objects have no other label.
            if syntax.joins(node):
                inside |= {one for one in left | right if isinstance(one, str) and not self._is_numeric(one)}
            returned = self._operator("__", node.op, left, right) | self._operator(
                "__r", node.op, right, left
            )
            if isinstance(node.op, ast.Mod):  # it may format a text
                self._special(syntax.TEXT, self.load(right), [])
            return self.make(node, inside) | returned
        inner = [self.value(one, unit) for one in syntax.operands(node)]
        together = frozenset().union(*inner)
        if isinstance(node, (ast.List, ast.Tuple, ast.Set, ast.Dict)):
            return self.make(node, together)
        if isinstance(node, ast.Starred):
            return self._items(together)
        if isinstance(node, ast.Await):
            return self.load(together) | self._special(("__await__",), together, [])
        if isinstance(node, ast.IfExp):
            self._special(syntax.CONDITION, inner[0], [])
            return inner[1] | inner[2]
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            unit.returns |= together
            return NONE
        if isinstance(node, ast.BoolOp):
            self._special(syntax.CONDITION, together, [])
        if isinstance(node, (ast.BoolOp, ast.Slice)):
            return together
        if isinstance(node, ast.JoinedStr):
            return NONE
        if isinstance(node, ast.FormattedValue):
            self._special(syntax.TEXT, together, [])
            return NONE
        if isinstance(node, (ast.Compare, ast.UnaryOp)):
            names = syntax.COMPARISON if isinstance(node, ast.Compare) else syntax.UNARY
            return self.make(node) | self._special(names, together, [together])
        return self.make(node)
