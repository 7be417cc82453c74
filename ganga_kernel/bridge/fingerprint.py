"""What values are, as a digest that is the same in every process that holds equal ones.

Python 3.9 and newer, the standard library; nothing is imported for it. It is what a job would get to see:
content, and which objects are one and the same; no addresses, file names, lines and In[n]. Functions and
classes of the notebook count by what they do, and so do the globals that they read, and theirs. What can be
imported counts by its name and its module (see `modules`). The order of a dict counts, since a cell sees it;
that of a set and of an object's attributes doesn't.
"""

from __future__ import annotations

import builtins
import copyreg
import hashlib
import pickle
import sys
import types
from collections import ChainMap
from collections.abc import Iterable, Mapping, MutableMapping
from itertools import chain
from types import MappingProxyType
from typing import Any, Callable

from ..payload import buffers
from ..payload.imports import imported_by
from . import arrays, code, modules, quirks
from .names import globals_of

#: To be raised when equal values get another digest.
_FORMAT = "ganga-kernel fingerprint 2"
#: Bytes that are gathered before they are hashed.
_GATHERED = 1 << 16
#: Characters of a text, and items of a list, that are taken in one piece.
_TEXT, _RUN = 1 << 16, 1000
#: How deep sets of objects may lie in each other; the work doubles with each.
_DEPTH = 8
#: Objects that are looked at, at most: more would take longer than a user likes to wait for the prompt.
_MOST = 1_000_000
#: Types whose values take few bytes.
_SHORT = frozenset((type(None), bool, int, float, complex))
#: Types whose values, if their items are plain, have no identity that counts.
_VALUES = frozenset((tuple, frozenset))
#: Attributes of a class that say where it stands, or that Python sets when it likes.
_NOT_ITS_OWN = frozenset((
    "__dict__", "__weakref__", "__module__", "__firstlineno__", "__static_attributes__", "__slotnames__",
    "__annotations_cache__", "_abc_impl",
))  # fmt: skip
#: Flag of a class that was made at run time (Py_TPFLAGS_HEAPTYPE).
_HEAP_TYPE = 1 << 9


class NoFingerprint(Exception):
    """A value has no content that could be compared.

    Attributes
    ----------
    name: the name whose value it is, or that leads to it
    reason: why
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


def fingerprint(
    namespace: dict[str, Any],
    names: Iterable[str],
    imports: Iterable[str] = (),
    skip: Iterable[str] = (),
    instead: Mapping[str, Any] = MappingProxyType({}),
    digest_of: Callable[[Any], str] = buffers.digest,
) -> str:
    """A digest of the values of names, and of all that the notebook's code behind them reads.

    Parameters
    ----------
    namespace: the notebook's namespace
    names: names whose values count; those that aren't bound are left out
    imports: modules that count as well, as far as they are the user's own
    skip: names that don't count although code refers to them
    instead: values that count in place of the namespace's
    digest_of: the digest of a large buffer, as `buffers.digest` tells it

    Raises
    ------
    NoFingerprint: a value can't be compared: an open file, a lock, a generator, …
    """
    walk = _Walk(namespace, digest_of)
    walk.visit(_FORMAT)
    done = set(skip)
    while todo := {*names, *walk.found} - done:
        done |= todo
        for name in sorted(todo):
            if name in instead or _travels(namespace, name):
                walk.visit(name)
                _tell(name, walk.visit, instead[name] if name in instead else namespace[name])
    for module in sorted(set(imports)):
        _tell(module, walk.own_module, module)
    return walk.digest().hex()


def _travels(namespace: dict[str, Any], name: str) -> bool:
    """Whether a name is bound to something of the notebook's own."""
    if name not in namespace or (name.startswith("__") and name.endswith("__")):
        return False
    return namespace[name] is not vars(builtins).get(name, namespace)


def _tell(name: str, take: Callable[[Any], None], what: Any) -> None:
    """Take a value in; an error of it becomes one that says of which name."""
    try:
        take(what)
    except RecursionError:
        raise NoFingerprint(name, "it is nested too deeply") from None
    except MemoryError:
        raise
    except Exception as error:  # (any class's own code may run here)
        raise NoFingerprint(name, " ".join(str(error).split()) or type(error).__name__) from error


class _Walk:
    """Takes values in, depth first, and hashes what they are.

    An object that was met before is named by its number, which breaks cycles and tells aliases from copies.

    Parameters
    ----------
    digest_of: the digest of a large buffer
    above: the walk whose objects count as met

    Attributes
    ----------
    found: names of the notebook that its functions refer to
    """

    def __init__(
        self, namespace: dict[str, Any], digest_of: Callable[[Any], str], above: _Walk | None = None
    ) -> None:
        self.found: set[str] = set()
        self._namespace, self._digest_of = namespace, digest_of
        self._hash = hashlib.sha256()
        self._gathered = bytearray()
        self._numbers: MutableMapping[int, int] = ChainMap({}, above._numbers) if above else {}
        self._met: list[Any] = []  # an object that is gone would leave its address to another
        self._next: int = above._next if above else 0
        self._depth: int = above._depth + 1 if above else 0
        self._marks: dict[str, str] = above._marks if above else {}
        self._takes: dict[type, Callable[[_Walk, Any], None]] = above._takes if above else dict(_CONTENT)

    def digest(self) -> bytes:
        """The digest of all that was taken in."""
        self._hash.update(self._gathered)
        return self._hash.digest()

    def visit(self, value: Any) -> None:
        """Take a value in."""
        kind = type(value)
        if kind in code.PLAIN:
            self._plain(value)
            return
        number = self._numbers.get(id(value))
        if number is not None:
            self._tag(b"met", number)
            return
        take = self._takes.get(kind) or self._choose(kind)
        if take is not _Walk._dtype and not (kind in _VALUES and _types(value) <= code.PLAIN):
            self._numbers[id(value)] = self._next
            self._met.append(value)
            self._next += 1
            if self._next > _MOST:
                raise TypeError("it consists of more than a million objects")
        take(self, value)

    def own_module(self, name: str) -> None:
        """Take in what a module of the user's own holds; of any other one only the name."""
        self._tag(b"import")
        self.visit(name)
        self.visit(modules.content(name))

    # ------------------------------------------------------------------ bytes

    def _emit(self, data: bytes) -> None:
        self._gathered += data
        if len(self._gathered) > _GATHERED:
            self._hash.update(self._gathered)
            self._gathered.clear()

    def _tag(self, word: bytes, number: int = 0) -> None:
        """What comes next. (No plain value begins with a zero byte.)"""
        self._emit(b"\0%b %d\0" % (word, number))

    def _raw(self, data: Any) -> None:
        """Bytes of any length; how many must be known from what came before."""
        self._hash.update(self._gathered)
        self._gathered.clear()
        self._hash.update(data)

    def _plain(self, value: Any) -> None:
        if not isinstance(value, (str, bytes)) or len(value) < _TEXT:
            self._emit(code.plain(value))
            return
        if isinstance(value, bytes):
            self._bytes(value)
            return
        self._tag(b"text", len(value))
        for begin in range(0, len(value), _TEXT):
            self._raw(value[begin : begin + _TEXT].encode("utf-8", "surrogatepass"))

    # ------------------------------------------------------------------ content

    def _choose(self, kind: type) -> Callable[[_Walk, Any], None]:
        """How values of a class are taken in."""
        take: Callable[[_Walk, Any], None]
        if issubclass(kind, type):
            take = _Walk._class
        elif issubclass(kind, types.ModuleType):
            take = _Walk._module
        elif issubclass(kind, (set, frozenset)):
            take = _Walk._set
        elif arrays.is_dtype(kind):
            take = _Walk._dtype
        elif arrays.is_array(kind):
            take = _Walk._array
        elif arrays.is_frame(kind):
            take = _Walk._frame
        else:
            take = _Walk._object
        self._takes[kind] = take
        return take

    def _sequence(self, word: bytes, items: Any) -> None:
        self._tag(word, len(items))
        for begin in range(0, len(items), _RUN):
            run = items[begin : begin + _RUN]
            if _is_plain(run):
                self._emit(code.plain(run))
            else:
                for item in run:
                    self.visit(item)

    def _list(self, value: list[Any]) -> None:
        self._sequence(b"list", value)

    def _tuple(self, value: tuple[Any, ...]) -> None:
        self._sequence(b"tuple", value)

    def _view(self, value: Iterable[Any]) -> None:
        self._sequence(b"view", list(value))

    def _dict(self, value: Any) -> None:
        if value is self._namespace:
            self._tag(b"namespace")
        else:
            self._sequence(b"dict", [part for pair in value.items() for part in pair])

    def _attributes(self, value: Any) -> None:
        self._sequence(b"attributes", [part for name in sorted(value) for part in (name, value[name])])

    def _set(self, value: Any) -> None:
        self._tag(b"set", len(value))
        self.visit(type(value))
        self._attributes(getattr(value, "__dict__", {}))
        if _types(value) <= code.PLAIN:
            self._emit(b"".join(sorted(map(code.plain, value))))
            return
        if self._depth == _DEPTH:
            raise TypeError("it has sets of objects that lead to more sets of objects, and so on")
        for item in sorted(value, key=self._apart):
            self.visit(item)

    def _apart(self, value: Any) -> bytes:
        """What a value is, by itself: nothing of it counts as met afterwards."""
        walk = _Walk(self._namespace, self._digest_of, self)
        walk.visit(value)
        return walk.digest()

    def _bytes(self, value: Any) -> None:
        view = memoryview(value).cast("B")
        self._tag(type(value).__name__.encode(), len(view))
        if len(view) < buffers.LARGE:
            self._raw(view)
        else:
            self._emit(self._digest_of(view).encode())

    def _array(self, value: Any) -> None:
        self.visit(type(value))
        self._items(arrays.plain(value))

    def _items(self, array: Any) -> None:
        self._tag(b"columns" if arrays.by_columns(array) else b"array")
        self._dtype(array.dtype)
        self.visit(array.shape)
        if array.dtype.names:  # what lies between the fields is no content
            for name in array.dtype.names:
                self._items(array[name])
        elif array.dtype.hasobject:
            for item in array.flat:
                self.visit(item)
        elif array.nbytes < buffers.LARGE:
            for block in arrays.blocks(array):
                self._raw(block)
        else:
            self._emit(self._digest(array).encode())

    def _digest(self, array: Any) -> str:
        """The digest of a large array's bytes."""
        memory = arrays.memory(array)
        if memory is not None:
            return self._digest_of(memory)
        digest = buffers.Digest()
        for block in arrays.blocks(array):
            digest.update(block)
        return digest.hexdigest()

    def _dtype(self, value: Any) -> None:
        self._tag(b"dtype")
        self.visit(arrays.spell(value))
        self.visit(value.metadata)

    def _frame(self, value: Any) -> None:
        self._sequence(b"frame", arrays.of_frame(value))

    # ------------------------------------------------------------------ code

    def _function(self, value: types.FunctionType) -> None:
        if self._is_imported(value):
            return
        self._tag(b"function")
        self._emit(code.digest(value.__code__))
        annotations = getattr(value, "__annotate__", None) or value.__annotations__ or None
        head = (value.__qualname__, value.__doc__, value.__defaults__, value.__kwdefaults__)
        for part in (*head, value.__closure__, annotations):
            self.visit(part)
        self._attributes(vars(value))
        for name in sorted(set(imported_by(value.__code__))):
            self.own_module(name)
        self._globals(value)

    def _globals(self, value: types.FunctionType) -> None:
        scope, names = value.__globals__, globals_of(value.__code__)
        if scope is self._namespace:
            self.found |= names
        elif scope is getattr(sys.modules.get(value.__module__), "__dict__", None):
            self._mark(value.__module__)
        else:
            self._attributes({name: scope[name] for name in names if name in scope})

    def _class(self, value: type) -> None:
        if self._is_imported(value):
            return
        self._tag(b"class")
        self.visit(value.__qualname__)
        self.visit(type(value))
        self.visit(value.__bases__)
        own = {name: part for name, part in vars(value).items() if name not in _NOT_ITS_OWN}
        if not own.get("__annotations__"):
            own.pop("__annotations__", None)  # which Python adds when they are asked for
        self._attributes(own)

    def _is_imported(self, value: Any) -> bool:
        """Whether a function or class can be imported by its name; if so, it is taken in."""
        module, name = value.__module__, value.__qualname__
        found: Any
        if isinstance(value, type) and not value.__flags__ & _HEAP_TYPE:
            found = value  # Python's own
        else:
            found = None if module == "__main__" else sys.modules.get(module)
            for part in name.split("."):
                found = getattr(found, part, None)
        if found is value:
            self._tag(b"global")
            self.visit(name)
            self._mark(module)
        return found is value

    def _mark(self, module: str) -> None:
        """The module that something comes from, and which state of it."""
        if module not in self._marks:
            self._marks[module] = modules.content(module) or modules.version(module)
        self.visit(module)
        self.visit(self._marks[module])

    def _module(self, value: types.ModuleType) -> None:
        name = value.__name__
        self._tag(b"module")
        if vars(value) is self._namespace:
            self._tag(b"namespace")
        elif sys.modules.get(name) is not value:
            raise TypeError(f"the module {name} can't be imported")
        else:
            self._mark(name)

    def _method(self, value: types.MethodType) -> None:
        self._sequence(b"method", (value.__func__, value.__self__))

    def _bound_later(self, value: Any) -> None:
        self.visit(type(value))
        self.visit(value.__func__)

    def _property(self, value: property) -> None:
        self._sequence(b"property", (value.fget, value.fset, value.fdel, value.__doc__))

    def _cell(self, value: types.CellType) -> None:
        try:
            content = [value.cell_contents]
        except ValueError:
            content = []
        self._sequence(b"cell", content)

    def _code(self, value: types.CodeType) -> None:
        self._tag(b"code")
        self._emit(code.digest(value))

    # ------------------------------------------------------------------ anything else

    def _object(self, value: Any) -> None:
        """As the pickler would see it."""
        reduce = copyreg.dispatch_table.get(type(value))
        reduced = reduce(value) if reduce is not None else value.__reduce_ex__(5)
        if isinstance(reduced, str):
            self._tag(b"global")
            self.visit(type(value))
            self.visit(reduced)
            self._mark(getattr(value, "__module__", None) or type(value).__module__)
            self.visit(getattr(value, "__wrapped__", None))
            return
        function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        self._tag(b"object")
        self.visit(function)
        self._sequence(b"arguments", quirks.settled(value, arguments))
        self._state(quirks.settled(value, state))
        if items is not None:
            self._sequence(b"items", list(items))
        if pairs is not None:
            self._sequence(b"pairs", [part for pair in pairs for part in pair])

    def _state(self, state: Any) -> None:
        """The state of an object: mostly its attributes, perhaps beside those in slots."""
        if type(state) is tuple and _types(state) <= {dict, type(None)}:
            for part in state:
                self._state(part)
        elif type(state) is dict and _types(state) <= {str}:
            self._attributes(state)
        else:
            self.visit(state)


def _types(items: Iterable[Any]) -> set[type]:
    return set(map(type, items))


def _is_plain(run: Any) -> bool:
    """Whether items, or those of the tuples that they are, are plain and few bytes."""
    kinds = _types(run)
    if kinds == {tuple} and sum(map(len, run)) <= 10 * _RUN:
        run = list(chain.from_iterable(run))
        kinds = _types(run)
    if kinds <= _SHORT:
        return True
    return kinds <= code.PLAIN and all(len(item) < _TEXT for item in run if type(item) in (str, bytes))


_CONTENT: dict[type, Callable[[_Walk, Any], None]] = {
    list: _Walk._list,
    tuple: _Walk._tuple,
    dict: _Walk._dict,
    types.MappingProxyType: _Walk._dict,
    type({}.keys()): _Walk._view,
    type({}.values()): _Walk._view,
    type({}.items()): _Walk._view,
    bytearray: _Walk._bytes,
    pickle.PickleBuffer: _Walk._bytes,
    types.FunctionType: _Walk._function,
    types.MethodType: _Walk._method,
    staticmethod: _Walk._bound_later,
    classmethod: _Walk._bound_later,
    property: _Walk._property,
    types.CellType: _Walk._cell,
    types.CodeType: _Walk._code,
}
