"""What is known while a cell is analysed: the code of the notebook, and what names and objects may be so far.

See `flow` for what a label is.
"""

from __future__ import annotations

import ast
import builtins
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Union

from . import modules, placeholders, readers, syntax
from .placeholders import Pending

#: A name of the notebook, or the place of what makes an object.
Label = Union[str, ast.AST]
Labels = frozenset[Label]
NONE: Labels = frozenset()
#: Types of values that aren't changed in place, or of which a job has its own anyway.
_ATOMS = (
    type(None), bool, int, float, complex, str, bytes, range, types.ModuleType, types.BuiltinFunctionType,
)  # fmt: skip


#: What an analysis may cost: elements of sets that it goes through, some 20 ns each, and for each
#: expression as much as a hundred of them.
_WORK = 10_000_000
EXPRESSION = 100


class TooMuch(Exception):
    """The analysis would take too long."""


@dataclass(eq=False)
class Unit:
    """The cell, or a function: what its names may be, and what it returns.

    Attributes
    ----------
    inputs: names of the notebook that it sees; None for all
    runs: whether it is called at all
    me: the objects through which it is called: a closure's variables are their content
    own: its local variables
    shared, outer: names that it declares to be global, or nonlocal
    free: variables of a function that has left the one around it
    defaulted: parameters whose defaults the function keeps
    foreign: whether its global names are a module's, not the notebook's
    """

    node: ast.AST
    parent: Unit | None
    inputs: frozenset[str] | None = None
    env: dict[str, set[Label]] = field(default_factory=dict)
    returns: set[Label] = field(default_factory=set)
    me: set[Label] = field(default_factory=set)
    runs: bool = False
    own: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    outer: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    defaulted: frozenset[str] = frozenset()
    foreign: bool = False

    def __post_init__(self) -> None:
        self.foreign = self.parent is not None and self.parent.foreign
        if isinstance(self.node, syntax.FUNCTIONS):
            scope = syntax.scope(self.node)
            self.shared = frozenset(n for one in scope if isinstance(one, ast.Global) for n in one.names)
            self.outer = frozenset(n for one in scope if isinstance(one, ast.Nonlocal) for n in one.names)
            stored = {one.id for one in scope if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
            stored |= {one.name for one in scope if isinstance(one, (*syntax.DEFINITIONS, ast.ClassDef))}
            stored |= {one.name for one in scope if isinstance(one, ast.ExceptHandler) and one.name}
            stored |= {
                name for one in scope if isinstance(one, syntax.IMPORTS) for name in syntax.imported(one)
            }
            stored |= {name for one in scope for name in syntax.matched(one)}
            self.own = (frozenset(stored) | set(syntax.parameters(self.node))) - self.shared - self.outer


class World:
    """The state of an analysis.

    Parameters
    ----------
    cell: what is analysed
    namespace, sources: see `flow.flow`

    Attributes
    ----------
    units: the code that was met, by its syntax
    contents: what objects may hold
    changed: objects that may be changed
    seen: names of the notebook that may be used and whose objects can be changed
    bound: names that functions may bind
    raised: what any code may raise
    """

    def __init__(
        self, cell: Unit, namespace: dict[str, Any], sources: Callable[[Pending], list[ast.Module]]
    ) -> None:
        self.cell = cell
        self.namespace = namespace
        self.units: dict[ast.AST, Unit] = {cell.node: cell}
        self.contents: dict[Label, set[Label]] = {}
        self.changed: set[Label] = set()
        self.seen: set[Label] = set()
        self.bound: set[str] = set()
        self.raised: set[Label] = set()
        #: The code of functions: of those made here by the place, of the notebook's by name.
        self._code: dict[Label, list[Unit]] = {}
        #: Objects of classes whose methods are all known.
        self._instances: set[Label] = set()
        self._methods: dict[str, list[Unit]] = {}
        self._classes_here = [
            one for one in list(namespace.values()) if isinstance(one, type) and one.__module__ == "__main__"
        ]
        self._looked_for: set[str] = set()
        self._functions: dict[types.CodeType, Unit] = {}
        self._classes: set[Label] = set()
        #: Pending names that hold nothing but code, and what makes it: an import, a function, a class.
        self._pending_code: dict[str, ast.stmt] = {}
        self._counts: dict[str, bool] = {}
        self._work = 0
        for name, value in list(namespace.items()):
            if type(value) is Pending:
                self._know(name, sources(value))

    def _know(self, name: str, cells: list[ast.Module]) -> None:
        """Take in what the cells that may bring a pending name say of it."""
        made: list[ast.AST] = []
        for cell in cells:
            made += syntax.makers(cell).get(name, [])
            for nodes in syntax.makers(cell).values():
                for node in nodes:
                    if isinstance(node, ast.ClassDef):
                        self._take_class(node, None)
        certain = [
            one for one in made if isinstance(one, (*syntax.DEFINITIONS, ast.ClassDef, *syntax.IMPORTS))
        ]
        if len(made) == len(certain) == 1 and not getattr(certain[0], "decorator_list", ()):
            self._pending_code[name] = certain[0]

    def _methods_named(self, name: str) -> list[Unit]:
        """The methods of this name of all the notebook's classes."""
        if name not in self._looked_for:
            self._looked_for.add(name)
            for kind in self._classes_here:
                member = vars(kind).get(name)
                codes = [getattr(member, "__func__", member)]
                if isinstance(member, property):
                    codes = [member.fget, member.fset, member.fdel]
                for code in codes:
                    if isinstance(code, types.FunctionType) and (unit := self._of_function(code)):
                        self._methods.setdefault(name, []).append(unit)
        return self._methods.get(name, [])

    def _of_function(self, function: types.FunctionType) -> Unit | None:
        """The code of a function of the notebook."""
        known = self._functions.get(function.__code__)
        if known is None and (node := syntax.node_of(function)) is not None:
            known = self._functions[function.__code__] = self.units[node] = Unit(node, None)
            known.free = frozenset(function.__code__.co_freevars)
            known.foreign = function.__globals__ is not self.namespace
            if function.__defaults__ or function.__kwdefaults__:
                known.defaulted = frozenset(syntax.parameters(node))
        return known

    def counts(self, name: str) -> bool:
        """Whether a name of the notebook may hold something that can be changed."""
        if name not in self._counts:
            self._counts[name] = self._may_change(name)
        return self._counts[name]

    def _may_change(self, name: str) -> bool:
        value = self.namespace[name]
        if type(value) is Pending:
            atom = all(one._ganga_atom for one in placeholders.sources(value))
            code = name in self._pending_code and not syntax.keeps(self._pending_code[name])
            return not (atom or code) or self._changes(placeholders.base(value))
        return self._changes(value)

    def _changes(self, value: Any) -> bool:
        if isinstance(value, types.FunctionType):
            kept = value.__defaults__ or value.__kwdefaults__ or vars(value)
            return bool(value.__closure__ or (kept and value.__globals__ is self.namespace))
        if isinstance(value, type):
            return value.__module__ == "__main__"
        return not isinstance(value, _ATOMS) and value is not placeholders.UNBOUND

    def _is_ours(self, function: types.FunctionType) -> bool:
        """Whether a function's code is to be read: the user's own, or one that may keep some in a closure."""
        return bool(
            function.__globals__ is self.namespace
            or function.__closure__
            or not modules.is_library(function.__code__.co_filename)
        )

    def _see(self, name: str) -> None:
        value = self.namespace[name]
        if isinstance(value, types.FunctionType) and name not in self._code and self._is_ours(value):
            unit = self._of_function(value)
            self._code[name] = [unit] if unit else []
            if unit and self.counts(name):
                unit.me.add(name)
        elif name in self._pending_code and name not in self._code:
            node = self._pending_code[name]
            self._code[name] = []
            if isinstance(node, syntax.FUNCTIONS):
                unit = self.units.setdefault(node, Unit(node, None))
                self._code[name] = [unit]
                if self.counts(name):
                    unit.defaulted = frozenset(syntax.parameters(node))
                    unit.me.add(name)
        if self.counts(name):
            self.seen.add(name)

    def _take_class(self, node: ast.ClassDef, unit: Unit | None) -> None:
        for one in node.body:
            if isinstance(one, syntax.DEFINITIONS):
                method = self.units.setdefault(one, Unit(one, unit))
                known = self._methods.setdefault(one.name, [])
                if method not in known:
                    known.append(method)

    def _known(self, name: str, unit: Unit) -> Any:
        """The value of a name of the notebook, or the builtin; None if it isn't known, or bound here."""
        at: Unit | None = unit
        while at is not None and at.parent is not None:
            if name in at.own or name in at.free:
                return None
            at = at.parent
        if self.cell.env.get(name):
            return None
        here = {} if unit.foreign else self.namespace
        found = here.get(name, vars(builtins).get(name))
        return None if type(found) is Pending else found

    def _is_class(self, label: Label) -> bool:
        """Whether it is a class, of which calling it makes an object."""
        if not isinstance(label, str):
            return label in self._classes
        return isinstance(self.namespace[label], type) or isinstance(
            self._pending_code.get(label), ast.ClassDef
        )

    def _is_numeric(self, name: str) -> bool:
        """Whether it is an array or a frame: adding to it makes another, which shares nothing with it."""
        return str(type(self.namespace[name]).__module__).startswith(("numpy", "pandas", "awkward"))

    def _may_be_ours(self, label: Label) -> bool:
        """Whether it may be an object of a class of the notebook's, or hold some."""
        if not isinstance(label, str):
            return not isinstance(label, (ast.List, ast.Tuple, ast.Dict, ast.Set))  # what it holds has labels
        value = self.namespace[label]
        return not (self._is_numeric(label) or readers.holds_atoms(value, _ATOMS))

    def _fills_in(self, name: str) -> bool:
        """Whether reading an item of it may change it."""
        return readers.fills_in(self.namespace[name])

    def _is_type(self, name: str, unit: Unit) -> bool:
        return isinstance(self._known(name, unit), type)

    def _is_instance(self, label: Label) -> bool:
        """Whether it is an object of the notebook's own classes."""
        if isinstance(label, str):
            kind = type(self.namespace[label])
            return kind.__module__ == "__main__" and kind is not Pending
        return label in self._instances

    def _leaves_alone(self, root: str, path: tuple[str, ...], in_place: bool, unit: Unit) -> bool | None:
        """Whether a call on an object of the notebook leaves it alone; None if the object isn't known."""
        value = self._known(root, unit) if root else None
        if value is None or isinstance(value, types.FunctionType):
            return None
        return readers.leaves_alone(value, path, in_place)

    def _behind(self, callee: Labels) -> set[Label]:
        """The names that the code of what is pending may read."""
        pending = [self.namespace[one] for one in callee if isinstance(one, str)]
        pending = [one for one in pending if type(one) is Pending]
        names = {name for one in pending for at in placeholders.sources(one) for name in at._ganga_behind}
        return {name for name in names if name in self.namespace and self.counts(name)}

    def size(self) -> int:
        """Grows with all that is learnt."""
        count = len(self.changed) + len(self.raised) + len(self.seen) + len(self.bound) + len(self.units)
        count += sum(map(len, self.contents.values())) + sum(map(len, self._code.values()))
        for unit in self.units.values():
            count += sum(map(len, unit.env.values())) + len(unit.returns) + len(unit.me) + unit.runs
        return count + len(self._instances) + sum(map(len, self._methods.values())) + len(self._classes)

    def load(self, value: Iterable[Label]) -> Labels:
        """What an attribute or an item of an object may be; a view of it counts as the object itself."""
        value = frozenset(value)
        inside = [self.contents.get(label, NONE) for label in value]
        self._spend(sum(map(len, inside)) + len(value))
        return value.union(*inside)

    def reach(self, value: Iterable[Label]) -> Labels:
        """All that an object may consist of."""
        found: set[Label] = set(value)
        new = found
        while new:
            inside = [self.contents.get(label, NONE) for label in new]
            self._spend(sum(map(len, inside)))
            new = set().union(*inside) - found
            found |= new
        return frozenset(found)

    def _spend(self, work: int) -> None:
        """Count what is gone through; raises `TooMuch`."""
        self._work += work
        if self._work > _WORK:
            raise TooMuch

    def store(self, target: Iterable[Label], value: Iterable[Label]) -> None:
        """Objects change: they may hold others."""
        target, value = frozenset(target), frozenset(value)
        self._spend(len(target) * (10 + len(value)))
        for label in target:
            self.changed.add(label)
            self.contents.setdefault(label, set()).update(value)

    def make(self, node: ast.AST, contents: Iterable[Label] = ()) -> Labels:
        """A new object."""
        contents = frozenset(contents)
        self._spend(len(contents))
        self.contents.setdefault(node, set()).update(contents)
        return frozenset({node})

    def look_up(self, name: str, unit: Unit) -> Labels:
        """What a name may be."""
        at: Unit | None = unit
        if name in unit.free:
            return self.load(unit.me)
        while at is not None and at.parent is not None and name not in at.own:
            at = None if name in at.shared else at.parent
        if at is not None and name in at.free:
            return self.load(unit.me)
        found: set[Label] = set()
        if at is not None:
            found |= at.env.get(name, set())
            if at.parent is not None or name in at.own:
                return frozenset(found | self.load(unit.me) if name in at.defaulted else found)
        if unit.foreign:
            return frozenset(found)
        if at is not self.cell:
            found |= self.cell.env.get(name, set())
        if (at is None or at.inputs is None or name in at.inputs) and name in self.namespace:
            self._see(name)
            if name in self.seen or name in self._code:
                found.add(name)
        return frozenset(found)

    def bind(self, name: str, value: Iterable[Label], unit: Unit) -> None:
        """A name may be this."""
        at = unit
        if name in unit.free:
            self.store(unit.me, value)
            return
        if name in unit.outer and unit.parent is not None:
            self.store(unit.me, value)
            at = unit.parent
            while at.parent is not None and name not in at.own:
                at = at.parent
        elif isinstance(unit.node, syntax.FUNCTIONS) and name not in unit.own:
            if unit.foreign:
                return
            self.bound.add(name)
            at = self.cell
        at.env.setdefault(name, set()).update(value)
