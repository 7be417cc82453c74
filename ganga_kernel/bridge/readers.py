"""Which methods leave their object alone: a table by type, by name, so that nothing is imported for it.

In doubt a method counts as changing its object: to wait for a name in vain costs time, a missed change is a
wrong result.
"""

from __future__ import annotations

import ast
import collections
import inspect
import types
from collections.abc import Iterable
from typing import Any

#: Stands for an item in a path: ``a.b[0].c`` is ("b", ITEM, "c").
ITEM = "[]"

#: Types whose objects no method changes, and packages all of whose types are such.
_IMMUTABLE = (bool, int, float, complex, str, bytes, frozenset, range, type(None), types.MappingProxyType)
_IMMUTABLE_PACKAGES = frozenset({"datetime", "decimal", "fractions", "pathlib", "re", "uuid", "ipaddress"})
#: Things that are called for what they return: ``np.sort(x)`` changes no module, ``Point(1)`` no class.
_CALLED = (types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType)
#: The methods that leave objects of these types alone.
_READERS = {
    list: frozenset({"copy", "count", "index"}),
    tuple: frozenset({"count", "index", "_asdict", "_replace"}),
    dict: frozenset({"copy", "get", "items", "keys", "values", "most_common", "elements", "total"}),
    set: frozenset(
        "copy difference intersection isdisjoint issubset issuperset symmetric_difference union".split()
    ),
    bytearray: frozenset("count decode endswith find hex index split startswith strip".split()),
}
#: The methods that change objects of these packages; all others leave them alone, but for ``inplace=True``.
_CHANGERS = {
    "numpy": frozenset("byteswap fill itemset partition put resize setfield setflags sort".split()),
    "pandas": frozenset("insert pop update setdefault isetitem append".split()),
}
#: Methods that read by their name alone, beside those above: of arrays and frames.
_SOUND_LIKE_READING = frozenset(
    "all any argmax argmin argsort astype corr cumsum describe dot flatten groupby head hist histogram "
    "idxmax idxmin isna max mean median merge min ndim nunique plot predict quantile query ravel reshape "
    "round shape std sum tail to_numpy tolist transform transpose unique value_counts var".split()
)
#: Methods that change their container.
CONTAINER_CHANGERS = frozenset(
    "add append appendleft clear discard extend extendleft insert pop popitem popleft remove reverse "
    "rotate setdefault sort update".split()
)
#: Functions of the standard library and NumPy that change an argument.
ARGUMENT_CHANGERS = frozenset(
    "anext copyto delattr delitem exec fill_diagonal heapify heappop heappush heappushpop heapreplace "
    "iadd imul insort insort_left insort_right next place put put_along_axis putmask readinto setattr "
    "setitem shuffle".split()
)
#: Functions and methods that return an object which shares nothing with what they are given.
RETURN_NEW = frozenset(
    "abs all any arange array ascii bin bool bytes callable chr complex count cumsum deepcopy describe "
    "dir display divmod dumps endswith exp find float format getsizeof hasattr hash head hex histogram "
    "id index input int isclose isinstance isna isnan issubclass join len linspace log log10 lower mean "
    "median normal nunique oct ones open ord perf_counter pow print query random range replace repr "
    "round sleep split sqrt startswith std str strip sum tail time tolist total uniform upper "
    "value_counts var zeros".split()
)
#: Those that return a container of its own, with the very items of what they are given.
RETURN_CONTAINERS = frozenset(
    "Counter OrderedDict chain copy defaultdict deque dict difference elements enumerate filter "
    "frozenset intersection islice items keys list map most_common product repeat reversed set slice "
    "sorted symmetric_difference tuple union values zip".split()
)
#: Special methods that change their container, as in ``list.__setitem__(rows, 0, 1)``.
_SPECIAL_CHANGERS = ("__set", "__del", "__i")
#: Items looked at to tell of what kind those of a container are.
_LOOKED_AT = 100


def leaves_alone(value: Any, path: tuple[str, ...], in_place: bool) -> bool:
    """Whether calling what a path leads to is known to leave the object at its begin alone.

    Parameters
    ----------
    value: the object
    path: attribute names, `ITEM` for an item, and at the end the method
    in_place: whether the call says ``inplace`` or ``out``
    """
    package = _package(value)
    if package in _CHANGERS and not inspect.ismodule(value) and not _is_generator(value):
        return not in_place and path[-1] not in _CHANGERS[package]
    if isinstance(value, _CALLED) or type(value) in _IMMUTABLE or package in _IMMUTABLE_PACKAGES:
        return True
    if len(path) > 1:
        inner = list(_inner(value, path[0]))
        return bool(inner) and all(leaves_alone(one, path[1:], in_place) for one in inner)
    readers = next((found for kind, found in _READERS.items() if isinstance(value, kind)), frozenset())
    return path[0] in readers


def path_of(node: ast.AST) -> tuple[str, tuple[str, ...]]:
    """The name that an expression such as ``a.b[0].c`` begins with, empty if with none, and what follows."""
    path: list[str] = []
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)):  # which is like it
            path.insert(0, node.attr if isinstance(node, ast.Attribute) else ITEM)
        node = node.value
    return (node.id if isinstance(node, ast.Name) else ""), tuple(path)


def sounds_like_reading(method: str) -> bool:
    """Whether a method leaves its object alone by the sound of its name, where the object isn't known yet."""
    return method in _SOUND_LIKE_READING or any(method in known for known in _READERS.values())


def changes_container(method: str) -> bool:
    """Whether a method changes its container by the sound of its name."""
    return method in CONTAINER_CHANGERS or method.startswith(_SPECIAL_CHANGERS)


def holds_atoms(value: Any, atoms: tuple[type, ...]) -> bool:
    """Whether a value is a small container that holds nothing but such."""
    if type(value) is dict:
        value = [*value.keys(), *value.values()] if len(value) <= _LOOKED_AT else [value]
    elif type(value) not in (list, tuple, set, frozenset) or len(value) > _LOOKED_AT:
        return isinstance(value, (*atoms, bytearray))
    return all(isinstance(one, atoms) for one in value)


def fills_in(value: Any) -> bool:
    """Whether reading an item may put one in: a ``defaultdict``."""
    return isinstance(value, collections.defaultdict)


def _inner(value: Any, step: str) -> Iterable[Any]:
    """What an attribute or an item may be, as far as can be told without running code of the object."""
    if step != ITEM:
        found = inspect.getattr_static(value, step, None)
        return [] if found is None or hasattr(type(found), "__get__") else [found]
    if type(value) in (list, tuple):
        return value[:_LOOKED_AT] if len(value) <= _LOOKED_AT else []
    if type(value) is dict:
        return list(value.values()) if len(value) <= _LOOKED_AT else []
    return []


def _package(value: Any) -> str:
    return str(type(value).__module__).partition(".")[0].lstrip("_")


def _is_generator(value: Any) -> bool:
    """Whether it is a random number generator: each draw changes it."""
    return str(type(value).__module__).startswith("numpy.random")
