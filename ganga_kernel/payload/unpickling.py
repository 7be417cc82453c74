"""Files of pickled namespaces read again: see `pickling`, which writes them.

What can't be made anew here is an error where all must be, and else an `Unavailable` in its place.
"""

from __future__ import annotations

import functools
import pickle
from types import MappingProxyType
from typing import IO, Any, Callable, Iterator, Mapping

from . import lenient, parts, pickling, sources
from .parts import Key
from .sealed import NotGenuineError
from .unavailable import Unavailable, reason_of


class LoadError(Exception):
    """A stream can't be read.

    Attributes
    ----------
    name: the name whose value can't be unpickled; None if the stream itself is damaged
    """

    def __init__(self, name: str | None, cause: BaseException) -> None:
        what = "the stream" if name is None else f"the value of {name}"
        super().__init__(f"{what} can't be unpickled: {pickling.describe(cause)}")
        self.name = name


def load_namespace(
    file: IO[bytes],
    namespace: dict[str, Any],
    names: frozenset[str] | None = None,
    referred: Mapping[Key, Any] = MappingProxyType({}),
    strictly: bool = True,
    fetch: Callable[[Any], memoryview] | None = None,
) -> list[str]:
    """Load names into a namespace, one after the other, and return them.

    A value that couldn't be pickled becomes an `Unavailable`.

    Parameters
    ----------
    names: those that are wanted; None for all
    referred: what the stream refers to; those of them that have changed get their new content
    strictly: whether a value that can't be unpickled is an error; else what can't be made of it becomes an
        `Unavailable`
    fetch: finds a buffer that lies beside the stream

    Raises
    ------
    LoadError: a value, or the stream, can't be unpickled.
    NotGenuineError: `file` or `fetch` says so.
    DependencyError: cloudpickle is missing or too old.
    """
    loaded = []
    contents: list[tuple[Key, Any]] = []
    for name, value in load_pairs(file, namespace, referred, strictly, fetch, contents):
        if names is not None and name not in names:
            continue
        if value is pickling.GONE:
            namespace.pop(name, None)
        else:
            namespace[name] = value
        loaded.append(name)
    for key, content in contents:
        reason = fill(referred[key], content) if key in referred else ""
        if reason and key.name in namespace:
            namespace[key.name] = Unavailable(key.name, reason)
    return loaded


def fill(value: Any, content: Any) -> str:
    """Give an object its new content; returns why it can't have it, empty if it has."""
    if type(content) is Unavailable:
        return reason_of(content)
    try:
        parts.replace(value, content)
    except Exception as error:  # noqa: BLE001 - any class's own code may run here
        return f"it can't get its new content here: {type(error).__name__}: {error}"
    return ""


def load_pairs(
    file: IO[bytes],
    namespace: dict[str, Any],
    referred: Mapping[Key, Any] = MappingProxyType({}),
    strictly: bool = True,
    fetch: Callable[[Any], memoryview] | None = None,
    contents: list[tuple[Key, Any]] | None = None,
) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) pairs without storing them; functions of the notebook live in
    `namespace`. The value of a name that is to be deleted is `pickling.GONE`.

    The caller decides name by name, before it asks for the next pair. Raises as `load_namespace`
    does.

    Parameters
    ----------
    contents: gets the objects of the reader's that have changed, and their new contents, for `fill`
    """
    pickling.import_cloudpickle()
    unpickler: Any = (_Unpickler if strictly else _Lenient)(file, namespace, referred, fetch)
    if _load(unpickler, namespace, None) != pickling.FORMAT:
        raise LoadError(None, ValueError("this is no namespace of ganga-kernel"))
    while True:
        name, rest = _load(unpickler, namespace, None)
        if name is None:
            sources.register(rest)
            return
        if isinstance(name, tuple):
            unpickler.variable = name[0]
            content = _load(unpickler, namespace, name[0])
            if contents is not None:
                contents.append((Key(*name), content))
            continue
        if rest is None:
            unpickler.variable = name
            value = _load(unpickler, namespace, name)
        else:
            value = pickling.GONE if rest is False else Unavailable(name, rest)
        unpickler.change_class(value)
        yield name, value


def load_all(
    file: IO[bytes],
    namespace: dict[str, Any],
    referred: Mapping[Key, Any] = MappingProxyType({}),
    fetch: Callable[[Any], memoryview] | None = None,
) -> tuple[dict[str, Any], list[tuple[Key, Any]]]:
    """All names of a stream and their values, not stored, as `load_pairs` yields them, and the contents.

    What can't be made of a value here becomes an `Unavailable`.

    Raises
    ------
    LoadError, NotGenuineError, DependencyError: as `load_namespace` does; `LoadError` only if the stream is
        damaged.
    """
    start = file.tell()
    classes = getattr(pickling.import_cloudpickle().cloudpickle, "_DYNAMIC_CLASS_TRACKER_BY_ID", {})
    known = set(classes)
    contents: list[tuple[Key, Any]] = []
    try:
        return dict(load_pairs(file, namespace, referred, True, fetch, contents)), contents
    except LoadError:
        for new in set(classes) - known:  # one may be half made
            classes.pop(new, None)
        file.seek(start)
        contents.clear()
        return dict(load_pairs(file, namespace, referred, False, fetch, contents)), contents


def forget_classes() -> None:
    """Have the next load make the notebook's classes anew, whatever became of those of the last one."""
    module = pickling.import_cloudpickle().cloudpickle
    getattr(module, "_DYNAMIC_CLASS_TRACKER_BY_ID", {}).clear()


class _Resolving:
    """Resolves the namespace, and leaves classes that are here already as they are.

    cloudpickle finds a class of the notebook again that comes back with an instance, and would set
    all its attributes to what they were on the worker. But inputs of a job are read-only: only a
    class that comes back as a name of its own is changed.
    """

    def __init__(
        self,
        file: IO[bytes],
        namespace: dict[str, Any],
        referred: Mapping[Key, Any],
        fetch: Callable[[Any], memoryview] | None,
    ) -> None:
        super().__init__(file)  # type: ignore[call-arg]
        self._namespace, self._referred, self._fetch = namespace, referred, fetch
        self._classes = getattr(pickling.import_cloudpickle().cloudpickle, "_DYNAMIC_CLASS_TRACKER_BY_ID", {})
        #: Classes that are here already, and how to set their attributes, by id.
        self._kept: dict[int, tuple[type, Callable[[], object] | None]] = {}

    def persistent_load(self, pid: Any) -> Any:
        if pid == pickling.NAMESPACE:
            return self._namespace
        if isinstance(pid, tuple) and pid[0] == pickling.REFERENCE:
            return self._refer(Key(*pid[1:]))
        if isinstance(pid, tuple) and pid[0] == pickling.BUFFER and self._fetch is not None:
            buffer = self._fetch(pid[1])
            return buffer.toreadonly() if pid[2] else buffer
        raise pickle.UnpicklingError(f"unknown persistent id {pid!r}")

    def _refer(self, key: Key) -> Any:
        try:
            return self._referred[key]
        except KeyError:
            raise pickle.UnpicklingError(f"it refers to {key}, which isn't here") from None

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)  # type: ignore[misc]
        if module != "cloudpickle.cloudpickle":
            return found
        if name in ("_make_skeleton_class", "_make_skeleton_enum"):
            return functools.partial(self._make_class, found)
        if name == "_class_setstate":
            return functools.partial(self._set_class, found)
        return found

    def change_class(self, value: Any) -> None:
        """Set the attributes of a class that comes as a name of its own."""
        change = self._kept.get(id(value), (value, None))[1]
        if change is not None:
            change()

    def _make_class(self, make: Callable[..., type], *arguments: Any) -> type:
        known: type | None = self._classes.get(arguments[-2])
        if known is None:
            return make(*arguments)
        self._kept.setdefault(id(known), (known, None))
        return known

    def _set_class(self, change: Callable[[type, Any], object], value: type, state: Any) -> None:
        if id(value) in self._kept:
            self._kept[id(value)] = value, functools.partial(change, value, state)
        else:
            change(value, state)


class _Unpickler(_Resolving, pickle.Unpickler):
    """Reads a stream as it should be."""


class _Lenient(_Resolving, lenient.Unpickler):
    """Reads a stream as far as it can be."""


def _load(unpickler: Any, namespace: dict[str, Any], name: str | None) -> Any:
    """Load the next object. cloudpickle sets ``__builtins__`` in a function's globals: put it
    back."""
    missing = object()
    before = namespace.get("__builtins__", missing)
    try:
        return unpickler.load()
    except NotGenuineError:
        raise
    except Exception as error:
        raise LoadError(name, error) from error
    finally:
        if before is missing:
            namespace.pop("__builtins__", None)
        else:
            namespace["__builtins__"] = before
