"""Namespaces to files: what travels to a job, and what comes back. `unpickling` reads it again.

A pickle stream: a format mark; for each name its header ``(name, None)`` and its value, or the
header ``(name, reason)`` alone if the value can't be pickled, or ``(name, False)`` if the name is to
be deleted; last ``(None, sources)``. It is
written by one pickler, so that aliases stay aliases over all names. Nothing of ours is pickled by
reference, because the two sides import this package under different names.

Functions of the notebook refer to its namespace by a persistent id. So they share the reader's live
namespace as they share the writer's, instead of carrying copies of their globals along. The globals
that their code names are dumped as names in their own right. In the same way a function that a module
made (a closure, a decorated function) lives in that module as it is imported there.

Large buffers, such as an array's numbers, may lie beside the stream (see `buffers`): a persistent id
says where.

An array that is a view of another one which travels, too, goes as a view of it: what is written into
one shows in the other. (NumPy alone would make them two.)

An object that the reader has, an input of the cell that came through it unchanged, goes as a reference,
so that it stays the very object that it is there.

Order matters to a value whose unpickling runs code of the notebook, such as a ``__setstate__`` that
uses ``np``. So functions, classes and modules come first, and when a value turns out to bring code
with it that names globals not yet written, the dump starts again with those before it.
"""

from __future__ import annotations

import builtins
import dis
import functools
import importlib
import pickle
import sys
import types
from types import MappingProxyType
from typing import IO, Any, Callable, Iterable, Iterator, Mapping, NamedTuple

from . import buffers, imports, sources
from .reductions import reduction
from .unavailable import Unavailable, UnavailableError, reason_of

__all__ = [
    "GONE",
    "DependencyError",
    "Dumped",
    "Unavailable",
    "UnavailableError",
    "describe",
    "dump_namespace",
    "import_cloudpickle",
    "is_array",
    "owner_of",
    "plain_pickler",
    "reason_of",
]

#: What a stream begins with, and what persistent ids say: the namespace, an object of the reader's, a buffer.
FORMAT = ("ganga-kernel namespace", 3)
NAMESPACE = "ganga-kernel namespace"
REFERENCE = "ganga-kernel input"
BUFFER = "ganga-kernel buffer"
#: The oldest cloudpickle whose pickles any newer one reads.
_CLOUDPICKLE = (3, 0)
#: Position of co_filename among the arguments of `types.CodeType`, in Python 3.8 to 3.14.
_FILENAME = 10
#: Instructions that read a global name. (LOAD_NAME: class bodies.)
_READS = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_GLOBAL", "DELETE_NAME"))


class _Gone:
    """The kind of `GONE`."""


#: What stands in a stream for a name that is to be deleted.
GONE = _Gone()


class DependencyError(RuntimeError):
    """cloudpickle is missing or too old."""


class Dumped(NamedTuple):
    """What a dump wrote.

    Attributes
    ----------
    sizes: by name, in the order of the stream, about how many bytes its value takes there; what
        several names share counts for the first of them
    unpicklable: by name, why its value can't be pickled
    referred: names of the reader's that it refers to
    modules: modules that loading it imports, and those that its functions may import
    kept: what `keep` returned for the buffers that it needs
    """

    sizes: dict[str, int]
    unpicklable: dict[str, str]
    referred: set[str]
    modules: set[str]
    kept: set[Any]


def dump_namespace(
    namespace: dict[str, Any],
    names: Iterable[str],
    file: IO[bytes],
    skip: frozenset[str] = frozenset(),
    instead: Mapping[str, Any] = MappingProxyType({}),
    gone: Iterable[str] = (),
    references: Mapping[int, str] = MappingProxyType({}),
    keep: Callable[[memoryview], Any] | None = None,
) -> Dumped:
    """Write names of a namespace, and those that the notebook's code behind them reads, to a file.

    The closure is transitive and minimal, and is found through instances and containers as well,
    because the pickler sees everything. A value that can't be pickled is not an error: it is
    recorded with a reason.

    Parameters
    ----------
    namespace: the notebook's namespace
    names: names to write; those that aren't bound are left out
    file: seekable, open for writing; it is truncated to its present position when the dump starts
        again
    skip: names that are not written although code refers to them
    instead: values to write in the place of the namespace's, also of names that aren't bound there
    gone: names that the reader is to delete
    references: by identity, objects that the reader has, and their names there
    keep: stores a large buffer elsewhere, and returns what the reader is to `fetch` it by; None for a file
        that is to hold all

    Raises
    ------
    DependencyError: cloudpickle is missing or too old.
    OSError: the file can't be written, or a buffer can't be stored.
    """
    start = file.tell()
    bound = [name for name in names if name in namespace or name in instead]
    plan = _Plan(namespace, bound, skip, instead, references)
    while True:
        dumped = _dump_once(plan, _Sink(file, keep), gone)
        if dumped is not None:
            return dumped
        file.seek(start)
        file.truncate()


class _Plan:
    """What a dump knows about the names. It learns from every attempt."""

    def __init__(
        self,
        namespace: dict[str, Any],
        names: list[str],
        skip: frozenset[str],
        instead: Mapping[str, Any],
        references: Mapping[int, str],
    ) -> None:
        self.namespace = namespace
        self.names = names
        self.skip = skip
        self._instead = instead
        self.references = references
        self.unpicklable: dict[str, str] = {}
        #: Arrays that own what several arrays of the dump show, by identity.
        self.shared: set[int] = set()
        #: By name, the globals that code found behind its value refers to.
        self.behind: dict[str, set[str]] = {}
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython is not None else None
        #: What IPython itself put there: the reader has its own.
        self._shells: dict[str, Any] = getattr(shell, "user_ns_hidden", {})

    def value(self, name: str) -> Any:
        """The value to write for a name."""
        return self._instead[name] if name in self._instead else self.namespace[name]

    def travels(self, name: str) -> bool:
        """Whether a name that code refers to is one of the notebook's own."""
        if name not in self.namespace or name in self.skip:
            return False
        value = self.value(name)
        return not (
            (name.startswith("__") and name.endswith("__"))
            or value is vars(builtins).get(name, self)
            or value is self._shells.get(name, self)
        )

    def order(self) -> Iterator[str]:
        """Names in the order in which to write them; what is known to be behind them grows
        meanwhile.

        What is behind a name is written right after it, or before it if unpickling it may run code.
        """
        done: set[str] = set()
        for name in sorted(self.names, key=self._rank):
            yield from self._visit(name, done, set())

    def _visit(self, name: str, done: set[str], path: set[str]) -> Iterator[str]:
        if name in done or name in path:
            return
        path.add(name)
        if not _inert(self.value(name)):
            for other in sorted(self.behind.get(name, ()), key=self._rank):
                yield from self._visit(other, done, path)
        done.add(name)
        yield name
        path.remove(name)
        for other in sorted(self.behind.get(name, ()), key=self._rank):
            yield from self._visit(other, done, path)

    def _rank(self, name: str) -> tuple[int, str]:
        """Modules, then functions and classes, then the rest: what runs no code, and is small,
        first."""
        value = self.value(name)
        if isinstance(value, types.ModuleType):
            return 0, name
        return (1 if isinstance(value, (types.FunctionType, type)) else 2), name


def _dump_once(plan: _Plan, sink: _Sink, gone: Iterable[str]) -> Dumped | None:
    """One attempt; None when it found out that it must start again."""
    pickler: Any = _pickler_class()(sink, plan, keep=sink.keep)
    sizes: dict[str, int] = {}
    pickler.dump(FORMAT)
    for name in plan.order():
        if name in plan.unpicklable:
            pickler.dump((name, plan.unpicklable[name]))
            sizes.setdefault(name, 0)
            continue
        value = plan.value(name)
        begin = sink.written
        pickler.dump((name, None))
        pickler.found = set()
        reason = _try_to_dump(pickler, value, sink)
        if reason is not None:
            plan.unpicklable[name] = reason
            return None
        if not pickler.owners_of_several <= plan.shared:
            plan.shared |= pickler.owners_of_several
            return None
        sizes[name] = sink.written - begin
        known = plan.behind.setdefault(name, set())
        new = pickler.found - known - {name}
        known |= new
        if not _inert(value) and not new <= set(sizes):
            return None
    for name in gone:
        pickler.dump((name, False))
    pickler.dump((None, sources.collect(pickler.filenames)))
    written = {name: size for name, size in sizes.items() if name not in plan.unpicklable}
    return Dumped(written, plan.unpicklable, pickler.referred, pickler.modules, sink.kept)


def _try_to_dump(pickler: Any, value: Any, sink: _Sink) -> str | None:
    """Why the value can't be pickled; None if it was."""
    if type(value) is Unavailable:
        return reason_of(value)
    try:
        pickler.dump(value)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - any class's own code may run here
        if sink.failure is not None:
            raise sink.failure from None
        return f"a value of type {type(value).__name__} can't be pickled: {describe(error)}"
    return None


def _inert(value: Any) -> bool:
    """Whether unpickling it surely runs no code of the notebook."""
    if isinstance(value, types.FunctionType):
        return not (value.__closure__ or value.__defaults__ or value.__kwdefaults__ or vars(value))
    return isinstance(value, types.ModuleType)


def describe(error: BaseException) -> str:
    """The innermost cause of an error, on one line."""
    seen = {id(error)}
    while True:
        inner = error.__cause__
        if inner is None and not error.__suppress_context__:
            inner = error.__context__
        if inner is None or id(inner) in seen:
            break
        seen.add(id(inner))
        error = inner
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class _Globals:
    """Stands for the globals of a module, so that its functions have those of the reader's module."""

    def __init__(self, module: types.ModuleType) -> None:
        self.module = module


class _Sink:
    """Counts what is written, and remembers a failure of the files themselves."""

    def __init__(self, file: IO[bytes], keep: Callable[[memoryview], Any] | None) -> None:
        self._file, self._keep = file, keep
        self.written = 0
        self.kept: set[Any] = set()
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            self._file.write(data)
        except OSError as error:
            self.failure = error
            raise
        size = memoryview(data).nbytes
        self.written += size
        return size

    def keep(self, buffer: pickle.PickleBuffer) -> Any:
        """Store a large buffer beside the stream, and return its persistent id; None if it isn't large."""
        if self._keep is None or memoryview(buffer).nbytes < buffers.LARGE:
            return None
        raw = buffer.raw()
        try:
            place = self._keep(raw)
        except OSError as error:
            self.failure = error
            raise
        self.kept.add(place)
        self.written += raw.nbytes
        return BUFFER, place, raw.readonly


def import_cloudpickle() -> Any:
    """Import cloudpickle.

    Raises
    ------
    DependencyError: it is missing or too old.
    """
    try:
        cloudpickle = importlib.import_module("cloudpickle")
    except ImportError:
        raise DependencyError(
            f"cloudpickle isn't installed in {sys.prefix}. Install it there (pip install cloudpickle)."
        ) from None
    version = tuple(int(part) for part in cloudpickle.__version__.split(".")[:2])
    if version < _CLOUDPICKLE:
        raise DependencyError(
            "cloudpickle {} in {} is too old. Install version {}.{} or newer there.".format(
                cloudpickle.__version__, sys.prefix, *_CLOUDPICKLE
            )
        )
    return cloudpickle


@functools.lru_cache(maxsize=1)
def _pickler_class() -> Any:
    """The pickler; a function, because cloudpickle may not be there when this module is
    imported."""
    cloudpickle = import_cloudpickle()

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc, name-defined]
        """Pickles values of a namespace, and notes the globals that the notebook's code refers
        to."""

        def __init__(self, file: Any, plan: _Plan, take_buffer: Any = None, keep: Any = None) -> None:
            super().__init__(file, protocol=5, buffer_callback=take_buffer)
            self._plan, self._keep = plan, keep
            self._namespace = plan.namespace
            # cloudpickle pickles this in the place of the functions' globals. (Not empty: it would
            # fill it.)
            self._stand_in = {"": None}
            self.globals_ref[id(plan.namespace)] = self._stand_in
            self.found: set[str] = set()
            self.filenames: set[str] = set()
            #: For each array that owns numbers, the first one met that shows them.
            self._shown_by: dict[int, int] = {}
            self.owners_of_several: set[int] = set()
            self.referred: set[str] = set()
            self.modules: set[str] = set()
            #: The classes met, and how their objects are reduced. (Not by bound methods: the pickler would
            #: hold itself.)
            self._reduces: dict[type, Callable[[Any, Any], Any]] = {}

        def persistent_id(self, obj: Any) -> Any:
            if obj is self._stand_in or obj is self._namespace:
                return NAMESPACE
            if type(obj) is pickle.PickleBuffer and self._keep is not None:
                return self._keep(obj)
            name = self._plan.references.get(id(obj))
            if name is None:
                return None
            self.referred.add(name)
            return REFERENCE, name

        def reducer_override(self, obj: Any) -> Any:
            kind = type(obj)
            reduce = self._reduces.get(kind)
            if reduce is None:
                reduce = self._reduces[kind] = self._choose(kind)
                self._note_module(kind)
            return reduce(self, obj)

        def _choose(self, kind: Any) -> Callable[[Any, Any], Any]:
            """How objects of a class are reduced."""
            if issubclass(kind, types.ModuleType):
                return Pickler._module
            if issubclass(kind, type):
                return Pickler._class
            if _is_array_class(kind):
                return Pickler._as_view
            own = reduction(kind)
            return Pickler._of_kind.get(kind) or ((lambda _, obj: own(obj)) if own else _as_pickle_does)

        def _note_module(self, obj: Any) -> None:
            if isinstance(obj.__module__, str):
                self.modules.add(obj.__module__)

        def _builtin(self, function: types.BuiltinFunctionType) -> Any:
            self._note_module(function)
            return NotImplemented

        def _module(self, module: types.ModuleType) -> Any:
            self.modules.add(module.__name__)
            if type(module) is types.ModuleType or sys.modules.get(module.__name__) is not module:
                return super().reducer_override(module)
            return importlib.import_module, (module.__name__,)  # of a class of its own, as ROOT is

        def _class(self, value: type) -> Any:
            self._note_module(value)
            reduced = super().reducer_override(value)
            without = "__slots__" not in vars(value) or issubclass(value, tuple)
            if type(reduced) is not tuple or without or len(reduced[1]) != 6:
                return reduced
            # cloudpickle 3.1.3 would set __slots__ when the class is made: it would have no slots.
            *head, attributes, tracker, extra = reduced[1]
            attributes = {**attributes, "__slots__": vars(value)["__slots__"]}
            return (reduced[0], (*head, attributes, tracker, extra), *reduced[2:])

        def _function(self, function: types.FunctionType) -> Any:
            self._note_module(function)
            scope = function.__globals__
            home: Any = sys.modules.get(scope.get("__name__", ""))
            if scope is not self._namespace and getattr(home, "__dict__", None) is scope:
                self.globals_ref.setdefault(id(scope), _Globals(home))
            reduced = super().reducer_override(function)
            if type(reduced) is not tuple:
                return reduced
            self.filenames.add(function.__code__.co_filename)
            self.modules.update(_imports(function.__code__))
            if scope is self._namespace:
                self.found.update(filter(self._plan.travels, _global_names(function.__code__)))
            is_there = scope is self._namespace or type(self.globals_ref[id(scope)]) is _Globals
            scope_too: dict[str, Any] = {"__globals__": {}} if is_there else {}
            state, slots = reduced[2]
            # cloudpickle would make cells anew for each function; but functions may share one.
            make, arguments = reduced[0], (*reduced[1][:4], function.__closure__)
            return (make, arguments, (state, {**slots, "__closure__": None, **scope_too}), *reduced[3:])

        def _as_view(self, array: Any) -> Any:
            """An array as a view of the one that owns its numbers, if others show these as well."""
            owner = owner_of(array)
            if self._shown_by.setdefault(id(owner), id(array)) != id(array):
                self.owners_of_several.add(id(owner))
            elsewhere = id(owner) in self._plan.shared or id(owner) in self._plan.references
            sharing = owner is not array and elsewhere
            if not sharing or not owner.flags.c_contiguous or owner.dtype.hasobject:
                return NotImplemented
            start = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
            return type(array), (array.shape, array.dtype, owner, start, array.strides)

        def _with_filename(self, code: types.CodeType) -> Any:
            """cloudpickle 3.1.3 drops it; tracebacks and `inspect` find a cell's lines by it."""
            make, arguments = self.dispatch_table[types.CodeType](code)
            at = _FILENAME
            return make, (*arguments[:at], code.co_filename, *arguments[at + 1 :])

        def _globals(self, of: _Globals) -> Any:
            return vars, (of.module,)

        _of_kind: dict[Any, Callable[[Any, Any], Any]] = {
            types.CodeType: _with_filename,
            types.FunctionType: _function,
            types.BuiltinFunctionType: _builtin,
            _Globals: _globals,
        }

    return Pickler


def is_array(value: Any) -> bool:
    """Whether a value is a NumPy array, and of no class derived from it. NumPy need not be loaded."""
    return _is_array_class(type(value))


def _is_array_class(kind: type) -> bool:
    return kind.__name__ == "ndarray" and kind.__module__ == "numpy"


def _as_pickle_does(_: Any, __: Any) -> Any:
    return NotImplemented


def owner_of(array: Any) -> Any:
    """The array that owns what an array shows: itself, unless it is a view."""
    while is_array(array.base):
        array = array.base
    return array


def plain_pickler(
    file: Any,
    namespace: dict[str, Any],
    take_buffer: Callable[[Any], object],
    references: Mapping[int, str] = MappingProxyType({}),
) -> Any:
    """A pickler for single values of a namespace, with its large buffers apart.

    Raises
    ------
    DependencyError: cloudpickle is missing or too old.
    """
    return _pickler_class()(file, _Plan(namespace, [], frozenset(), {}, references), take_buffer)


@functools.lru_cache(maxsize=None)
def _imports(code: types.CodeType) -> frozenset[str]:
    return frozenset(imports.imported_by(code))


@functools.lru_cache(maxsize=None)
def _global_names(code: types.CodeType) -> frozenset[str]:
    """The global names that code refers to, also in the functions and classes inside it."""
    found = {i.argval for i in dis.get_instructions(code) if i.opname in _READS}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _global_names(constant)
    return frozenset(found)
