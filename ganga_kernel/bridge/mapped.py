"""The items of a batch cell's map: evaluated in the notebook, written for the tasks, collected again."""

from __future__ import annotations

import heapq
import io
import itertools
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Callable, NamedTuple

from IPython import get_ipython

from ..payload import items, pickling
from . import inputs
from .objects import store

#: Items of which nothing came back, with the name and the text of an exception.
Lost = list[tuple[list[int], str, str]]
#: What the items are called where a cell's inputs are compared.
_ITEMS = "an item of the map"
#: Items at most: an endless iterator must not eat the memory.
_MOST = 1_000_000
#: Exceptions of an evaluation that are the cell's error.
_ERRORS = (Exception, KeyboardInterrupt, SystemExit)


class MapError(Exception):
    """The maps of a cell can't be used together, or can't travel."""

    # What a traceback shows in front of the name.
    __module__ = "builtins"


class Found(NamedTuple):
    """The items of a cell's maps.

    Attributes
    ----------
    names: all names that they give values to
    rows: for each item the values, in the order of the names
    """

    names: list[str]
    rows: list[tuple[Any, ...]]


def capture(
    maps: list[tuple[list[str], str]],
    merges: dict[str, str],
    objects: str,
    needs: Callable[[str], list[str]],
    compare: bool,
) -> dict[str, Any]:
    """Evaluate a cell's maps and write their items to a file.

    Parameters
    ----------
    maps: for each map its names and its expression
    merges: expressions of functions that merge the values of names
    objects: folder of content-addressed files
    needs: tokens of the jobs that must deliver before a source can run
    compare: say also what the items are

    Returns
    -------
    Either ``{"error": {…}}``: evaluating failed. Or ``{"waits": [token, …]}``: these jobs must deliver
    first. Or

    - ``names`` and ``items``: see `ganga_kernel.payload.job.Mapped`; ``count``: how many items there are;
    - ``behind``: names of the notebook that code within the items reads; ``modules``: see `pickling.Dumped`;
    - ``inputs`` or ``unlike``, see `inputs.compared`.
    """
    expressions = [*(expression for _, expression in maps), *merges.values()]
    waits = {token for expression in expressions for token in needs(expression)}
    if waits:
        return {"waits": sorted(waits)}
    namespace = get_ipython().user_ns
    found = _evaluate(maps, merges)
    if not isinstance(found, Found):
        return {"error": found}
    try:
        imported, path = store(objects, partial(_write, found, namespace))
    except items.ItemError as error:
        return {"error": _shown(error)}
    return {
        "names": found.names,
        "items": path,
        "count": len(found.rows),
        "behind": sorted(_behind(found, namespace)),
        "modules": sorted(imported),
        **(inputs.compared(namespace, {_ITEMS}, [], {_ITEMS: found.rows}, "", set()) if compare else {}),
    }


def merging(merges: dict[str, str]) -> dict[str, Callable[[Any, Any], Any]]:
    """The functions that merge the values of names, from their expressions.

    Raises
    ------
    MapError: one is no function; or whatever evaluating one raises.
    """
    found = {}
    for name, expression in merges.items():
        code = compile(expression, f"<--merge {name}>", "eval", dont_inherit=True)
        found[name] = eval(code, get_ipython().user_ns)
        if not callable(found[name]):
            raise MapError(f"--merge {name}={expression} gives no function, but {found[name]!r:.100}.")
    return found


def _evaluate(maps: list[tuple[list[str], str]], merges: dict[str, str]) -> Found | dict[str, Any]:
    """The items, or the error that evaluating the expressions gives, as a cell shows it."""
    try:
        merging(merges)
        columns = [_column(names, expression) for names, expression in maps]
        return Found([name for names, _ in maps for name in names], _zipped(columns, maps))
    except _ERRORS as error:
        return _shown(error)


def _column(names: list[str], expression: str) -> list[tuple[Any, ...]]:
    """The values of one map's names, for each item."""
    code = compile(expression, f"<--map {','.join(names)}>", "eval", dont_inherit=True)
    found = list(itertools.islice(iter(eval(code, get_ipython().user_ns)), _MOST + 1))
    if len(found) > _MOST:
        raise MapError(f"--map {','.join(names)} has more than {_MOST:,} items.")
    if not found:
        raise MapError(f"--map {','.join(names)} has no items, so there is nothing to run.")
    return [(one,) for one in found] if len(names) == 1 else [_unpacked(one, names) for one in found]


def _unpacked(item: Any, names: list[str]) -> tuple[Any, ...]:
    values = tuple(item)
    if len(values) != len(names):
        raise MapError(f"--map {','.join(names)} can't unpack {item!r:.100}: it has {len(values)} values.")
    return values


def _zipped(columns: list[list[tuple[Any, ...]]], maps: list[tuple[list[str], str]]) -> list[tuple[Any, ...]]:
    if len({len(column) for column in columns}) > 1:
        counts = ", ".join(
            f"{','.join(names)} has {len(column)}" for (names, _), column in zip(maps, columns)
        )
        raise MapError(f"The maps of a cell go together, so they need equally many items: {counts}.")
    return [tuple(itertools.chain(*parts)) for parts in zip(*columns)]


def _shown(error: BaseException) -> dict[str, Any]:
    shell = get_ipython()
    kind, _, tb = sys.exc_info()
    while tb is not None and not tb.tb_frame.f_code.co_filename.startswith(("<--map", "<--merge")):
        tb = tb.tb_next
    traceback = (
        shell.SyntaxTB.structured_traceback(kind, error, [])
        if isinstance(error, SyntaxError) or tb is None
        else shell.InteractiveTB.structured_traceback(kind, error, tb)
    )
    return {"ename": type(error).__name__, "evalue": str(error), "traceback": traceback}


def _behind(found: Found, namespace: dict[str, Any]) -> set[str]:
    """The names of the notebook that code within the items reads: these travel once, with the namespace."""
    instead = dict(zip(found.names, zip(*found.rows)))
    dumped = pickling.dump_namespace(namespace, found.names, _Nowhere(), instead=instead)
    return {*dumped.sizes, *dumped.unpicklable}.difference(found.names)


class _Nowhere(io.BytesIO):
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes


def _write(found: Found, namespace: dict[str, Any], file: Any) -> set[str]:
    return items.write(file, namespace, found.names, found.rows)


def newest(results: list[Iterable[items.Result]]) -> Iterator[items.Result]:
    """What came back of each item last, in item order, with one item of each source in memory at a time.

    Parameters
    ----------
    results: of the cell's jobs, the oldest first; of each its items in order
    """

    def aged(age: int, source: Iterable[items.Result]) -> Iterator[tuple[int, int, items.Result]]:
        return ((one.item, -age, one) for one in source)

    found = heapq.merge(*(aged(age, source) for age, source in enumerate(results)), key=lambda one: one[:2])
    for _, of_item in itertools.groupby(found, key=lambda one: one[0]):
        yield next(of_item)[2]


def collected(
    results: Iterable[items.Result],
    lost: Lost,
    count: int,
    expected: Iterable[str],
    merges: dict[str, Callable[[Any, Any], Any]],
) -> dict[str, Any]:
    """For each name that an item bound, the list of its values in item order, or what they were merged to.

    Parameters
    ----------
    results: in item order
    expected: names to use where no item ended well
    merges: functions that make one value of two, by the name whose values they merge; items that failed,
        or did not bind the name, are left out

    Raises
    ------
    MapError: merging failed.
    """
    bound: dict[str, dict[int, Any]] = {}
    merged: dict[str, Any] = {}
    failed: dict[int, Any] = {}
    good = False
    for one in results:
        if one.exception is not None:
            failed[one.item] = one.exception
            continue
        good = True
        for name, value in one.values.items():
            if name not in merges:
                bound.setdefault(name, {})[one.item] = value
            elif name not in merged:
                merged[name] = value
            else:
                merged[name] = _merge(name, merges[name], merged[name], value, one.item)
    for gone, ename, evalue in lost:
        failed.update(dict.fromkeys(gone, items.like({"ename": ename, "evalue": evalue})))
    if not good:
        bound = {name: {} for name in expected if name not in merges}
    return {**{name: list(_values(name, values, failed, count)) for name, values in bound.items()}, **merged}


def _merge(name: str, function: Callable[[Any, Any], Any], so_far: Any, value: Any, item: int) -> Any:
    try:
        return function(so_far, value)
    except _ERRORS as error:
        raise MapError(f"--merge {name} failed at item {item}: {type(error).__name__}: {error}") from error


def _values(name: str, values: dict[int, Any], failed: dict[int, Any], count: int) -> Iterator[Any]:
    for item in range(count):
        if item in values:
            yield values[item]
        elif item in failed:
            yield failed[item]
        else:
            yield pickling.Unavailable(f"{name}[{item}]", f"item {item} did not bind it")
