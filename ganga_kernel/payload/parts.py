"""The parts of a value: the mutable objects that it consists of, numbered, and how their content is replaced.

The notebook and its jobs know an object by a name and a number: the place at which it is met on the way
through the name's value. Both walk through equal values, so they number equally. That is why only what is
rebuilt as it was is entered: what a class pickles in its own way is a part as a whole, and the items of a
set, whose order differs between processes, are none.
"""

from __future__ import annotations

import collections
import contextlib
import copyreg
import functools
import pickle
import types
from typing import Any, Callable, Iterator, NamedTuple

#: Parts of a value at most: enough for what people alias, little enough for a large structure.
_MOST = 10_000
#: Objects without an identity that counts.
_ATOMS = (
    type(None), bool, int, float, complex, str, bytes, range, type, types.ModuleType,
    types.BuiltinFunctionType, types.CodeType,
)  # fmt: skip
#: The commonest of them, which are told without asking for a base class.
_COMMON = frozenset((type(None), bool, int, float, str, bytes))
#: What the commonest containers hold: they have no attributes that could hold more.
_ITEMS: dict[type, Callable[[Any], list[Any]]] = {
    list: list,
    tuple: list,
    dict: lambda value: [part for pair in value.items() for part in pair],
}
#: Methods by which a class says how it is pickled.
_PICKLED = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")
_DICTS = (dict, collections.OrderedDict, collections.defaultdict, collections.Counter)
_EMPTY = (list, dict, set, bytearray, collections.deque, collections.OrderedDict, types.CellType)


class Key(NamedTuple):
    """An object, as a part of the value of a name."""

    name: str
    number: int


def parts(value: Any) -> list[Any]:
    """The parts of a value, itself the first, unless it is an atom."""
    return list(_walk(value, False))


def behind(value: Any) -> list[Any]:
    """All mutable objects behind a value, also those whose numbers would differ between processes."""
    return [one for one in _walk(value, True) if type(one) not in (tuple, frozenset)]


def _walk(value: Any, all_of_them: bool) -> Iterator[Any]:
    seen: dict[int, Any] = {}
    todo = [] if isinstance(value, _ATOMS) else [value]
    while todo and len(seen) < _MOST:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one  # alive, so that no other object takes its identity
        yield one
        items = _ITEMS.get(type(one))
        inner = list(_inside(one, all_of_them)) if items is None else items(one)
        if len(inner) <= _MOST:
            todo += [
                part for part in reversed(inner) if type(part) not in _COMMON and not isinstance(part, _ATOMS)
            ]


def _inside(value: Any, all_of_them: bool) -> Iterator[Any]:
    kind = type(value)
    in_order = kind is collections.deque or (isinstance(value, tuple) and _is_plain(kind))
    if in_order or (all_of_them and isinstance(value, (tuple, set, frozenset, list))):
        yield from value
    elif kind in _DICTS or (all_of_them and isinstance(value, dict)):
        for key, item in dict.items(value):
            yield from (key, item)
    elif kind is types.FunctionType:
        if value.__module__ == "__main__":
            yield from (*(value.__closure__ or ()), value.__defaults__, value.__kwdefaults__)
            yield from vars(value).values()
    elif kind is types.CellType:
        yield from _content_of_cell(value)
    elif kind is types.MethodType:
        yield value.__self__
    elif all_of_them and is_array(value):
        yield owner_of(value)
    elif all_of_them and kind is functools.partial:
        yield from (value.func, value.args, value.keywords)
    if kind not in _DICTS and (all_of_them or _is_plain(kind)):
        yield from _attributes(value).values()
    if all_of_them:
        for base in kind.__mro__ if kind.__module__ == "__main__" else ():
            yield from (one for name, one in vars(base).items() if not name.startswith("__"))


def _attributes(value: Any) -> dict[str, Any]:
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def _content_of_cell(cell: types.CellType) -> Iterator[Any]:
    try:
        yield cell.cell_contents
    except ValueError:
        return  # the variable isn't bound


def _is_plain(kind: type) -> bool:
    """Whether objects of a class are rebuilt from nothing but their attributes, in order."""
    own = any(getattr(kind, name, None) is not getattr(object, name, None) for name in _PICKLED)
    return not own and kind not in copyreg.dispatch_table and kind is not types.FunctionType


class NotReplaceable(Exception):
    """There is no way known to give an object another content: it is replaced as a whole."""


def content(value: Any) -> Any:
    """What `replace` needs to give an object like this one the same content.

    Raises
    ------
    NotReplaceable
    """
    kind = type(value)
    if kind is list:
        return value[:]
    if isinstance(value, (tuple, frozenset)):
        return None  # it is what it was, even if what it holds has changed
    if kind in (dict, set):
        return value.copy()
    if kind is bytearray:
        return bytes(value)
    if is_array(value):
        return _numbers(value)
    if kind is types.CellType:
        return tuple(_content_of_cell(value))
    if kind is types.FunctionType:
        return value.__defaults__, value.__kwdefaults__, vars(value).copy()
    if kind is collections.deque:
        return list(value)
    if kind in _DICTS:
        return list(value.items())
    if _is_generator(value):
        return value.bit_generator.state
    return _state(value)


def _numbers(array: Any) -> tuple[Any, str]:
    """What an array shows, without a copy where its memory is in order, and the order."""
    if array.flags.forc and not array.dtype.hasobject:
        with contextlib.suppress(ValueError, BufferError):  # types of NumPy's own, such as dates
            return pickle.PickleBuffer(array), "C" if array.flags.c_contiguous else "F"
    return array.copy(), ""


def _state(value: Any) -> Any:
    if isinstance(value, (type, types.MethodType)):
        raise NotReplaceable
    reduced = value.__reduce_ex__(4)
    if not isinstance(reduced, tuple):
        raise NotReplaceable
    make, arguments, state, *items = (*reduced, None, None, None)[:5]
    made_empty = make is copyreg.__newobj__ and arguments == (type(value),)  # type: ignore[attr-defined]
    if not made_empty or any(one is not None for one in items):
        raise NotReplaceable
    return state.copy() if type(state) is dict else state


def replace(value: Any, new: Any) -> None:
    """Give an object the content that `content` told of another one."""
    kind = type(value)
    if kind is list:
        value[:] = new
    elif kind in (dict, set):
        value.clear()
        value.update(new)
    elif kind is collections.deque:
        value.clear()
        value.extend(new)
    elif kind in _DICTS:
        value.clear()
        for key, item in new:
            value[key] = item
    elif _is_generator(value):
        value.bit_generator.state = new
    elif kind is bytearray:
        value[:] = new
    elif isinstance(value, (tuple, frozenset)):
        return
    elif is_array(value):
        numbers, order = new
        value[...] = kind(value.shape, value.dtype, numbers, order=order) if order else numbers
    elif kind is types.CellType:
        if new:
            value.cell_contents = new[0]
        else:
            del value.cell_contents
    elif kind is types.FunctionType:
        value.__defaults__, value.__kwdefaults__ = new[:2]
        vars(value).clear()
        vars(value).update(new[2])
    else:
        _set_state(value, new)


def _set_state(value: Any, state: Any) -> None:
    """As unpickling does, but with what was there before gone."""
    _attributes(value).clear()
    for kind in type(value).__mro__:
        for slot in vars(kind).values() if "__slots__" in vars(kind) else ():
            if isinstance(slot, types.MemberDescriptorType):
                try:
                    slot.__delete__(value)
                except AttributeError:
                    continue  # it isn't set
    if hasattr(type(value), "__setstate__"):
        value.__setstate__(state)
        return
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    _attributes(value).update(attributes or {})
    for name, one in (slots or {}).items():
        setattr(value, name, one)


def form(value: Any) -> Any:
    """What must be as it was for `replace` to do: an array keeps its shape and type."""
    return (value.shape, value.dtype) if is_array(value) else None


def shell(value: Any) -> Any:
    """What pickles as an object like this one without its content, where there is such an object."""
    kind = type(value)
    if is_array(value):
        return Made(kind, value.shape, value.dtype)
    if kind in _EMPTY:
        return Made(kind)
    made_empty = (
        not isinstance(value, (tuple, frozenset))
        and kind is not types.FunctionType
        and not _is_generator(value)
        and kind not in _DICTS
    )
    return Made(copyreg._reconstructor, kind, object, None) if made_empty else value  # type: ignore[attr-defined]


class Made:
    """Pickles as what a call returns."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


def _is_generator(value: Any) -> bool:
    """Whether it is one of NumPy's generators of random numbers."""
    return type(value).__name__ == "Generator" and type(value).__module__.startswith("numpy.random")


def is_array(value: Any) -> bool:
    """Whether a value is a NumPy array, and of no class derived from it. NumPy need not be loaded."""
    return type(value).__name__ == "ndarray" and type(value).__module__ == "numpy"


def owner_of(array: Any) -> Any:
    """The array that owns what an array shows: itself, unless it is a view."""
    while is_array(array.base):
        array = array.base
    return array
