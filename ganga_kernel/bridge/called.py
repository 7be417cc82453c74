"""What calls may do: of the notebook's functions, methods and classes, of libraries, of what isn't known."""

from __future__ import annotations

import ast
import functools
import types
from collections.abc import Iterable
from typing import Any

from . import reach, readers, syntax
from .world import EXPRESSION, NONE, Label, Labels, Unit, World

#: How an array's type is spelt that holds any objects.
_OBJECTS = frozenset(ast.dump(ast.parse(one, mode="eval").body) for one in ("object", "'O'", "'object'"))
#: The methods that making an object of a class runs.
_MAKING = ("__new__", "__init__", "__post_init__")


class Calls(World):
    """The part of the analysis that is about calls."""

    def value(self, node: ast.expr, unit: Unit) -> Labels:
        """What an expression may be."""
        raise NotImplementedError

    def _operator(self, prefix: str, op: ast.operator, left: Labels, right: Labels) -> Labels:
        """What an operator that a class of the notebook defines may do."""
        name = {
            "Mult": "mul", "Div": "truediv", "BitOr": "or", "BitAnd": "and", "BitXor": "xor",
            "MatMult": "matmul",
        }  # fmt: skip
        method = f"{prefix}{name.get(type(op).__name__, type(op).__name__.lower())}__"
        return self._methods_of(method, left, [right])

    def _special(self, names: Iterable[str], receiver: Labels, arguments: list[Labels]) -> Labels:
        """What the notebook's special methods may do and return that syntax or a function calls."""
        defined = [name for name in names if self._methods_named(name)] if receiver else ()
        ours = frozenset(label for label in receiver if self._may_be_ours(label)) if defined else NONE
        return NONE.union(*(self._methods_of(name, ours, arguments) for name in defined))

    def _items(self, value: Labels) -> Labels:
        """What going through an object may bring."""
        found = self._special(syntax.ITERATION, value, [])
        return self.load(value | found)

    def _methods_of(self, name: str, receiver: Labels, arguments: list[Labels] | None) -> Labels:
        """What the methods of this name of the notebook's classes may do and return.

        Parameters
        ----------
        arguments: None if the attribute is read only: then properties alone run
        """
        found: set[Label] = set()
        for method in self._methods_named(name) if receiver else ():
            if arguments is None and not syntax.is_decorated(method.node):
                continue
            found |= self._enter(method, [receiver, *(arguments or ())], [])
        return frozenset(found)

    def _enter(
        self, unit: Unit, arguments: list[Labels], keywords: list[tuple[str | None, Labels]]
    ) -> set[Label]:
        """Call a unit: its parameters may be these arguments. Returns what it may return."""
        node = unit.node
        assert isinstance(node, syntax.FUNCTIONS)
        unit.runs = True
        positional = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
        rest = [one.arg for one in (node.args.vararg, node.args.kwarg) if one]
        for at, value in enumerate(arguments):
            names = [positional[at]] if at < len(positional) else rest[:1]
            for name in names:
                unit.env.setdefault(name, set()).update(value)
            self._spend(EXPRESSION + len(value))
        every = syntax.parameters(node)
        for key, value in keywords:
            known = every if key is None else [key] if key in every else rest
            for one in known:
                unit.env.setdefault(one, set()).update(value)
            self._spend(EXPRESSION + len(known) * len(value))
        returned = set(unit.returns)
        if isinstance(node, ast.Lambda) or not syntax.yields(node):
            return returned
        return {*self.make(node.args, returned)}

    def _called(self, node: ast.Call, unit: Unit) -> Labels:
        arguments = [self.value(one, unit) for one in node.args]
        keywords = [(one.arg, self.value(one.value, unit)) for one in node.keywords]
        stars = [at for at, one in enumerate(node.args) if isinstance(one, ast.Starred)]
        if stars:  # from there on any parameter may get any of them
            keywords += [(None, self.load(value)) for value in arguments[stars[0] :]]
            del arguments[stars[0] :]
        if isinstance(node.func, ast.Attribute):
            return self._method(node, node.func, arguments, keywords, unit)
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            first = syntax.parameters(unit.node)[:1] if isinstance(unit.node, syntax.FUNCTIONS) else []
            return frozenset().union(*(self.look_up(name, unit) for name in first))
        return self._call(node, self.value(node.func, unit), arguments, keywords, unit, node.func)

    def _call(
        self, node: ast.AST, callee: Labels, arguments: list[Labels],
        keywords: list[tuple[str | None, Labels]], unit: Unit, function: ast.expr,
    ) -> Labels:  # fmt: skip
        """Call what an expression may be."""
        given = frozenset().union(*arguments, *(value for _, value in keywords))
        name = function.id if isinstance(function, ast.Name) else ""
        known = self._known(name, unit) if name else None
        if (
            not callee
            or isinstance(known, (type, types.BuiltinFunctionType))
            or self._is_library(known, name)
        ):
            if isinstance(known, type) and known.__module__ == "__main__":
                return self._instance(node, callee, arguments, keywords)
            return self._library(node, name, arguments, keywords)
        result: set[Label] = set()
        for label in callee:
            code = self._code.get(label)
            if code:
                for one in code:
                    one.me.add(label)
                    result |= self._enter(one, arguments, keywords)
            elif self._is_class(label):
                result |= self._instance(node, callee, arguments, keywords)
            elif isinstance(label, str) or label in self._instances or not self._is_data(label):
                result |= self._unknown(node, frozenset({label}), given)
                for method in self._methods_named("__call__"):
                    result |= self._enter(method, [frozenset({label}), *arguments], keywords)
        return frozenset(result)

    def _is_data(self, label: Label) -> bool:
        """Whether it is a display, which nobody calls; what it holds is among the labels, too."""
        return isinstance(label, (ast.List, ast.Tuple, ast.Dict, ast.Set))

    def _is_library(self, known: Any, name: str) -> bool:
        if name in self._pending_code:
            return isinstance(self._pending_code[name], syntax.IMPORTS)
        return known is not None and not isinstance(known, types.FunctionType) and not _runs_ours(known)

    def _unknown(self, node: ast.AST, callee: Labels, given: Labels) -> Labels:
        """Call what isn't known: it may change all that it can get at, store it, and return it."""
        everything = self.reach(callee | given | self._behind(callee))
        self.store(everything, callee | given)
        for label in callee:
            for function in reach.functions(self.namespace[label]) if isinstance(label, str) else ():
                unit = self._of_function(function)
                if unit is not None:
                    unit.me.add(label)
                    everything |= self._enter(unit, [everything] * len(syntax.parameters(unit.node)), [])  # type: ignore[arg-type]
        return everything | self.make(node, everything)

    def _instance(
        self, node: ast.AST, callee: Labels, arguments: list[Labels],
        keywords: list[tuple[str | None, Labels]],
    ) -> Labels:  # fmt: skip
        """Call a class of the notebook: any ``__init__`` of the notebook's may run."""
        given = frozenset().union(*arguments, *(value for _, value in keywords))
        made = self.make(node, given | self.load(callee))  # it has what its class has
        self._instances.add(node)
        for method in (one for name in _MAKING for one in self._methods_named(name)):
            self._enter(method, [made, *arguments], keywords)
        return made

    def _library(
        self, node: ast.AST, name: str, arguments: list[Labels], keywords: list[tuple[str | None, Labels]]
    ) -> Labels:
        """Call a function of a library, or a builtin."""
        given = frozenset().union(*arguments, *(value for _, value in keywords))
        for key, value in keywords:
            if key == "out":
                self.store(value, ())
        if name in readers.ARGUMENT_CHANGERS:
            for value in arguments:
                self.store(value, given - value)
        if name in readers.RETURN_NEW and not (name == "sum" and len(arguments) > 1):
            returned = self._callbacks(given, self.load(given))
            self._special(syntax.ANY, self.load(given), [self.load(given)])
            if name == "array" and _keeps_objects(node):
                returned |= given | self.load(given)
            return self.make(node) if not returned else self.make(node, returned)
        inside = self.load(given)
        inside |= self._callbacks(given, inside) | self._special(syntax.ANY, inside, [inside])
        made = self.make(node, inside)
        return made if name in readers.RETURN_CONTAINERS else made | inside

    def _callbacks(self, given: Labels, inside: Labels) -> Labels:
        """The functions among the arguments may be called with whatever the others hold."""
        returned: set[Label] = set()
        for label in given:
            for one in self._code.get(label, ()):
                one.me.add(label)
                rest = inside - {label}
                returned |= self._enter(one, [rest] * len(syntax.parameters(one.node)), [])  # type: ignore[arg-type]
        return frozenset(returned)

    def _method(
        self, node: ast.Call, function: ast.Attribute, arguments: list[Labels],
        keywords: list[tuple[str | None, Labels]], unit: Unit,
    ) -> Labels:  # fmt: skip
        receiver, name = self.value(function.value, unit), function.attr
        if not receiver:
            if arguments and isinstance(function.value, ast.Name) and self._is_type(function.value.id, unit):
                self._changes_itself(name, arguments[0], arguments[1:])
            return self._library(node, name, arguments, keywords)
        given = frozenset().union(*arguments, *(value for _, value in keywords))
        found: set[Label] = set()
        methods = self._methods_named(name)
        for method in methods:
            found |= self._enter(method, [receiver, *arguments], keywords)
            if syntax.is_decorated(method.node) or any(self._is_class(label) for label in receiver):
                found |= self._enter(method, arguments, keywords)  # it has no ``self``, or is given it
        if methods and all(self._is_instance(label) for label in receiver):
            return frozenset(found)
        root, path = readers.path_of(function)
        in_place = any(key in ("inplace", "out") for key, _ in keywords)
        kept = self._leaves_alone(root, path, in_place, unit)
        if kept is None:
            kept = readers.sounds_like_reading(name) and not in_place
        callbacks = self._callbacks(given, self.load(given) | self.load(receiver))
        callbacks |= self._special(syntax.ANY, self.load(given | receiver), [self.load(given)])
        if not kept:
            self.store(receiver, given | self.load(given))
        for label in self.load(receiver):  # a function that is kept as an attribute or item
            for one in self._code.get(label, ()):
                found |= self._enter(one, arguments, keywords)
        if name in readers.ARGUMENT_CHANGERS:
            self.store(given, ())
        if name in readers.RETURN_NEW:
            return frozenset(found) | self.make(node)
        if name in readers.RETURN_CONTAINERS:
            return frozenset(found) | self.make(
                node,
                callbacks
                | {label for label in self.load(receiver) if label not in receiver or isinstance(label, str)},
            )
        inside = self.load(receiver) | self.load(given) | callbacks
        return frozenset(found) | inside | self.make(node, inside)

    def _changes_itself(self, method: str, receiver: Labels, arguments: list[Labels]) -> None:
        """What a method does that is called by its class: ``list.append(rows, 1)``."""
        if readers.changes_container(method):
            self.store(receiver, frozenset().union(*arguments))


def _keeps_objects(node: ast.AST) -> bool:
    """Whether a call says ``dtype``, and not of what numbers."""
    said = [one.value for one in node.keywords if one.arg == "dtype"] if isinstance(node, ast.Call) else []
    return any(ast.dump(one) in _OBJECTS for one in said)


def _runs_ours(value: Any) -> bool:
    """Whether calling a value may run code of the notebook's."""
    return type(value).__module__ == "__main__" or isinstance(value, (types.MethodType, functools.partial))
