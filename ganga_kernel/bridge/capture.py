"""Capture: what a cell reads, out of the namespace, and which jobs must deliver before it can run."""

from __future__ import annotations

import os
import re
import sys
import types
from typing import Any

from IPython import get_ipython

from ..payload import parts, pickling
from . import aliases as aliased
from . import (
    awaited,
    effects,
    history,
    inputs,
    mapped,
    modules,
    names,
    opened,
    placeholders,
    reach,
    usermodules,
)
from .objects import Buffers, store
from .placeholders import UNBOUND

#: Environment variables that don't travel: they look like secrets, or belong to this very process.
_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE|^JPY_|^JUPYTER|^PS1$|^PYDEVD|^LS_COLORS$", re.I
)
#: The names for the last values that a cell showed.
_LAST_VALUES = frozenset({"_", "__", "___", "_oh", "Out"})


def needs(source: str) -> dict[str, list[str]]:
    """The tokens of the jobs that must deliver before this cell can run (``needed``).

    Names count that the cell reads or mutates, also through the notebook's functions and classes. A cell
    that can't be compiled needs nothing: running it shows its error. ``pending`` holds the tokens of all
    jobs that some name still waits for.
    """
    namespace = get_ipython().user_ns
    pending = placeholders.pending_of(namespace)
    everything = sorted({p._ganga_token for p in pending.values()})
    if not pending:
        return {"needed": [], "pending": []}
    try:
        found = names.analyse(get_ipython().transform_cell(source))
    except (SyntaxError, ValueError):
        return {"needed": [], "pending": everything}
    # A name that its job may leave unbound can be deleted only once that is known.
    doubtful = {name for name in found.deletes & set(pending) if not pending[name]._ganga_surely}
    reached = reach.closure(found.reads | doubtful, namespace)
    needed = {p._ganga_token for name, p in pending.items() if name in reached}
    needed |= _shown_later(found, pending)
    return {"needed": sorted(needed), "pending": everything}


def _shown_later(found: names.Names, pending: dict[str, placeholders.Pending]) -> set[str]:
    """The jobs whose last value a cell may mean that reads ``_`` or ``Out``."""
    if not found.reads & _LAST_VALUES:
        return set()
    return {p._ganga_token for name, p in pending.items() if history.is_shown(name)}


def capture_map(
    maps: list[tuple[list[str], str]], merges: dict[str, str], objects: str, compare: bool
) -> dict[str, Any]:
    """See `mapped.capture`."""
    return mapped.capture(maps, merges, objects, lambda source: needs(source)["needed"], compare)


def capture(
    source: str, number: int, objects: str, compare: bool, given: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Write what the cell reads to a file, and say what else the job needs to run as it would here.

    Parameters
    ----------
    source: the cell
    number: its In[n]
    objects: folder of content-addressed files; the namespace becomes ``<sha256>.pkl`` there
    compare: say also what the inputs are
    given: what `capture_map` returned for a cell that runs once for each item

    Returns
    -------
    Either ``{"error": {…}}``: the cell doesn't compile. Or ``{"waits": [token, …]}``: these jobs must be
    waited for here; the cell needs a name from each, and they have failed or are maps; or it reads ``_``,
    which one of them may set; or what they bring may be part of what no name holds any more. Or

    - ``namespace``, the file, and ``names``, what is in it, with sizes in bytes;
    - ``buffers``, the files of the large buffers that belong to it, in the same folder;
    - ``unpicklable``: names that can't travel, with the reason;
    - ``modules``, the archive of the user's own modules that it may import, None if there are none;
      ``refused``: those that can't travel, with the reason; ``edited``: those edited after their import here;
    - ``packages``: the installed packages that its values and code need, with their versions;
    - ``after``: ``[token, [name, …], {name: …}]`` for each job whose names the cell needs, the oldest first;
      the last are inputs of that job that this one gets as well, see `ganga_kernel.payload.result.load`;
    - ``links``: for each name that becomes pending, those that may share an object with it then;
      ``atoms``: those that get nothing that could be changed;
    - ``binds``: names that become pending; ``surely``: those that the cell surely binds; ``mutates``: those
      whose objects it changes; ``behind``: names that what it binds may read later;
    - ``opens``: files that it seems to open, see `opened.opened`;
    - the environment;
    - ``inputs`` or ``unlike``, see `inputs.compared`.
    """
    shell = get_ipython()
    namespace = shell.user_ns
    transformed, error = history.compiled(source, number)
    if error:
        return {"error": error}
    found = names.analyse(transformed)
    changed = effects.effects(found, namespace, awaited.source_of)
    mutates = changed.mutates
    aliases = aliased.related(mutates, namespace)
    mapped_names = frozenset(given["names"] if given else ())
    wanted = {*found.reads, *mutates, *aliases, *found.deletes} & set(namespace)
    wanted |= set(given["behind"] if given else ())
    wanted -= _own_names(shell) | mapped_names
    between = aliased.between(wanted, namespace) - mapped_names
    wanted |= between & set(namespace)
    pending, wanted = _with_what_is_behind(wanted, namespace, mapped_names)
    waits = {p._ganga_token for p in pending.values() if p._ganga_failure}
    waits |= {at._ganga_token for p in pending.values() for at in placeholders.sources(p)} & awaited.maps()
    waits |= _shown_later(found, placeholders.pending_of(namespace))
    waits |= {
        at._ganga_token for p in pending.values() for at in placeholders.sources(p) if _lacks(at, between)
    }
    if waits:
        return {"waits": sorted(waits)}
    instead = {name: base for name, p in pending.items() if (base := placeholders.base(p)) is not UNBOUND}
    travelling = sorted(wanted - (set(pending) - set(instead)))
    large = Buffers(objects)
    dumped, path = store(
        objects,
        lambda file: pickling.dump_namespace(
            namespace, travelling, file, mapped_names, instead, keep=large.keep
        ),
    )
    late = {name for name in dumped.unpicklable if type(namespace[name]) is placeholders.Pending}
    pending |= {name: namespace[name] for name in late}
    behind = _behind(transformed, namespace, wanted, dumped)
    behind |= {name for p in pending.values() for name in p._ganga_behind}
    changes_here = mutates | aliases | (found.deletes & set(namespace))
    binds = found.binds - mapped_names if given else changed.binds | changes_here
    if history.shows(transformed):
        binds |= {history.name_of(number)}
    after = _after(pending, namespace, wanted)
    imported = {*modules.imported_by(transformed), *dumped.modules, *(given["modules"] if given else ())}
    shipped = usermodules.ship(imported, objects, bool(after))
    comparison: dict[str, Any] = {}
    if compare:
        others = _own_names(shell) | mapped_names | (set(pending) - set(instead))
        comparison = inputs.compared(
            namespace, wanted - others, after, instead, transformed, others, shipped.state, large.digest
        )
    return {
        "namespace": path,
        "names": dumped.sizes,
        "buffers": sorted(os.path.join(objects, name) for name in dumped.kept),
        "modules": shipped.path,
        "packages": modules.installed(imported),
        "refused": dict(shipped.refused),
        "edited": list(shipped.edited),
        "unpicklable": {n: reason for n, reason in dumped.unpicklable.items() if n not in late},
        "after": after,
        "binds": sorted(binds),
        "mutates": sorted(mutates | aliases),
        "surely": sorted(found.surely - mapped_names),
        "behind": sorted(behind),
        "links": {name: sorted(changed.links.get(name, ())) for name in sorted(binds)},
        "atoms": sorted(changed.atoms & binds) if not given else [],
        "opens": opened.opened(transformed),
        "environment": _environment(shell),
        **comparison,
    }


def begin(source: str, store: bool, cell: dict[str, Any]) -> dict[str, Any]:
    """`history.take` and `capture` at once, as each request to this kernel takes its time.

    Parameters
    ----------
    source, store: see `history.take`
    cell: the other arguments of `capture`

    Returns
    -------
    ``number``, the cell's In[n], and ``captured``; that is None if the capture raises an error, which it does
    again when it is asked for by itself.
    """
    number = history.take(source, store)
    try:
        captured = capture(number=number, **cell)
    except Exception:  # noqa: BLE001 (raised again when asked for by itself: the cell is to have its number)
        captured = None
    return {"number": number, "captured": captured}


def _lacks(pending: placeholders.Pending, between: set[str]) -> bool:
    """Whether what a job brings may refer to what one of these names held, and no name holds it any more."""
    namespace, sent = get_ipython().user_ns, awaited.of(pending._ganga_token).sent
    return any(
        name in sent and not placeholders.passes(namespace.get(name, UNBOUND), sent[name])
        for name in between & pending._ganga_links
    )


def _own_names(shell: Any) -> set[str]:
    """Names that IPython put there and that still hold what it put: each kernel has its own."""
    hidden = shell.user_ns_hidden
    return {name for name, value in hidden.items() if shell.user_ns.get(name) is value}


def _with_what_is_behind(
    wanted: set[str], namespace: dict[str, Any], without: frozenset[str]
) -> tuple[dict[str, placeholders.Pending], set[str]]:
    """The pending ones of these names, and the names with those that a pending value may read.

    What a job binds isn't known here yet, so what its functions and classes read counts as read.

    Parameters
    ----------
    without: names that the job has from elsewhere
    """
    while True:
        reached = reach.closure(wanted, namespace) - without
        pending = {name: namespace[name] for name in reached if type(namespace[name]) is placeholders.Pending}
        behind = {name for p in pending.values() for name in p._ganga_behind if name in namespace} - without
        if behind <= wanted:
            return pending, wanted
        wanted |= behind


def _behind(
    transformed: str, namespace: dict[str, Any], wanted: set[str], dumped: pickling.Dumped
) -> set[str]:
    """The names that code defined or handed on by the cell may read."""
    inner = names.globals_within(transformed)
    code = {
        name for name in wanted if isinstance(namespace[name], (types.FunctionType, type, types.ModuleType))
    }
    return (set(dumped.sizes) - wanted) | inner | code


def _after(
    pending: dict[str, placeholders.Pending], namespace: dict[str, Any], wanted: set[str]
) -> list[list[Any]]:
    """The jobs that must be done first, the oldest first, with the names to take from each; see `capture`."""
    jobs: dict[tuple[int, str], set[str]] = {}
    for name, value in pending.items():
        for one in placeholders.sources(value):
            jobs.setdefault((one._ganga_job, one._ganga_token), set()).add(name)

    def same(token: str) -> dict[str, list[int] | None]:
        job = awaited.of(token)
        return {
            name: _numbers(job.parts.get(name), namespace[name])
            for name in sorted(wanted & set(job.sent))
            if placeholders.passes(namespace[name], job.sent[name])
        }

    return [[token, sorted(found), same(token)] for (_, token), found in sorted(jobs.items())]


def _numbers(there: list[Any] | None, value: Any) -> list[int] | None:
    """The numbers that parts of an object have now, in the order of those that they had; None if the same.

    While it is pending, nobody changes it.
    """
    if there is None or type(value) is placeholders.Pending:
        return None
    here = {id(one): number for number, one in enumerate(parts.parts(value))}
    numbers = [here.get(id(one), -1) for one in there]
    return None if numbers == list(range(len(here))) else numbers


def _environment(shell: Any) -> dict[str, Any]:
    """What a cell sees of the process that it runs in."""
    return {
        "directory": os.getcwd(),
        "environ": {k: v for k, v in os.environ.items() if not _SECRET.search(k)},
        "sys_path": list(sys.path),
        "python": sys.executable,
        "python_version": list(sys.version_info[:3]),
        "colors": getattr(shell, "colors", None),
    }
