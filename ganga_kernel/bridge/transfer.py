"""Capture and delivery: names out of the notebook's namespace, and into it."""

from __future__ import annotations

import os
import re
import sys
import types
from pathlib import Path
from typing import Any

from IPython import get_ipython

from ..payload import buffers, changes, items, pickling, sealed
from . import aliases as aliased
from . import effects, history, inputs, mapped, names, placeholders, reach
from .objects import Buffers, store
from .placeholders import UNBOUND

#: Environment variables that don't travel: they look like secrets, or belong to this very process.
_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE|^JPY_|^JUPYTER|^PS1$|^PYDEVD|^LS_COLORS$", re.I
)


#: How IPython names the value that a cell shows, and the names for the last ones.
_SHOWN = re.compile(r"_\d+")
_LAST_VALUES = frozenset({"_", "__", "___", "_oh", "Out"})

#: What jobs were sent, as objects, by the job's token.
_sent: dict[str, dict[str, Any]] = {}
#: Names that were made pending, by the job's token, and the In[n] that its cell has, and had at first.
_placed: dict[str, frozenset[str]] = {}
_numbers: dict[str, tuple[int, int]] = {}
#: The jobs of maps: their names become lists, which only the notebook makes.
_maps: set[str] = set()


def _namespace() -> dict[str, Any]:
    return get_ipython().user_ns  # type: ignore[no-any-return]


def _own_names(shell: Any) -> set[str]:
    """Names that IPython put there and that still hold what it put: each kernel has its own."""
    hidden = shell.user_ns_hidden
    return {name for name, value in hidden.items() if shell.user_ns.get(name) is value}


def needs(source: str) -> dict[str, list[str]]:
    """The tokens of the jobs that must deliver before this cell can run (``needed``).

    Names count that the cell reads or mutates, also through the notebook's functions and classes. A cell
    that can't be compiled needs nothing: running it shows its error. ``pending`` holds the tokens of all
    jobs that some name still waits for.
    """
    namespace = _namespace()
    pending = placeholders.pending_of(namespace)
    everything = sorted({p._ganga_token for p in pending.values()})
    if not pending:
        return {"needed": [], "pending": []}
    try:
        found = names.analyse(get_ipython().transform_cell(source))
    except (SyntaxError, ValueError):
        return {"needed": [], "pending": everything}
    reached = reach.closure(found.reads | found.mutates, namespace)
    needed = {p._ganga_token for name, p in pending.items() if name in reached}
    needed |= _shown_later(found, pending)
    return {"needed": sorted(needed), "pending": everything}


def _shown_later(found: names.Names, pending: dict[str, placeholders.Pending]) -> set[str]:
    """The jobs whose last value a cell may mean that reads ``_`` or ``Out``."""
    if not found.reads & _LAST_VALUES:
        return set()
    return {p._ganga_token for name, p in pending.items() if _SHOWN.fullmatch(name)}


def capture_map(
    maps: list[tuple[list[str], str]], limits: tuple[int, int], objects: str, compare: bool
) -> dict[str, Any]:
    """See `mapped.capture`."""
    return mapped.capture(maps, limits, objects, lambda source: needs(source)["needed"], compare)


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
    which one of them may set. Or

    - ``namespace``, the file, and ``names``, what is in it, with sizes in bytes;
    - ``buffers``, the files of the large buffers that belong to it, in the same folder;
    - ``unpicklable``: names that can't travel, with the reason;
    - ``after``: ``[token, [name, …], [name, …]]`` for each job whose names the cell needs, the oldest first;
      the second names are inputs of that job that this one gets as well, the same objects;
    - ``binds``: names that become pending; ``surely``: those that the cell surely binds; ``mutates``: those
      whose objects it changes; ``behind``: names that what it binds may read later;
    - the environment;
    - ``inputs`` or ``unlike``, see `inputs.compared`.
    """
    shell = get_ipython()
    namespace = shell.user_ns
    error = history.error(source, number)
    if error:
        return {"error": error}
    transformed = shell.transform_cell(source)
    found = names.analyse(transformed)
    changed = effects.effects(found, namespace)
    mutates = changed.mutates
    aliases = aliased.sharing(mutates, namespace)
    mapped_names = frozenset(given["names"] if given else ())
    wanted = {*found.reads, *mutates, *aliases, *found.deletes} & set(namespace)
    wanted |= set(given["behind"] if given else ())
    wanted -= _own_names(shell) | mapped_names
    pending, wanted = _with_what_is_behind(wanted, namespace, mapped_names)
    waits = {p._ganga_token for p in pending.values() if p._ganga_failure}
    waits |= {at._ganga_token for p in pending.values() for at in placeholders.sources(p)} & _maps
    waits |= _shown_later(found, placeholders.pending_of(namespace))
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
    comparison: dict[str, Any] = {}
    if compare:
        others = _own_names(shell) | mapped_names | (set(pending) - set(instead))
        comparison = inputs.compared(
            namespace, wanted - others, after, instead, transformed, others, large.digest
        )
    return {
        "namespace": path,
        "buffers": sorted(os.path.join(objects, name) for name in dumped.kept),
        "names": dumped.sizes,
        "unpicklable": {n: reason for n, reason in dumped.unpicklable.items() if n not in late},
        "after": after,
        "binds": sorted(binds),
        "mutates": sorted(mutates | aliases),
        "surely": sorted(found.surely - mapped_names),
        "behind": sorted(behind),
        "environment": _environment(shell),
        **comparison,
    }


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

    def same(token: str) -> list[str]:
        sent = _sent.get(token, {})
        return sorted(name for name in wanted & set(sent) if namespace[name] is sent[name])

    return [[token, sorted(found), same(token)] for (_, token), found in sorted(jobs.items())]


def place(
    names: list[str],
    token: str,
    job: int,
    behind: list[str],
    surely: list[str],
    sent: list[str],
    after: list[str],
    number: int,
    was: int,
    attached: bool,
    is_map: bool,
) -> None:
    """Make names pending until the job delivers.

    Parameters
    ----------
    behind: names that the values may read, see `capture`
    surely: those that the job surely binds, see `capture`
    sent: names whose values the job gets, and may refer to in its result
    after: tokens of the jobs that it takes names from
    number: the cell's In[n]
    was: its In[n] when the job was submitted
    attached: whether it was submitted when the cell ran before
    is_map: whether the cell runs once for each item
    """
    namespace = _namespace()
    names = [history.name_of(number) if name == history.name_of(was) else name for name in names]
    for other in [*after, token] if attached else after:
        inputs.await_job(other)
    _sent[token] = {name: namespace[name] for name in sent if name in namespace}
    if is_map:
        _maps.add(token)
    placeholders.place(namespace, names, token, job, frozenset(behind), frozenset(surely))
    _placed[token] = frozenset(names)
    _numbers[token] = (number, was)


def deliver(token: str, path: str, key: str, signature: str, sent: str) -> dict[str, Any]:
    """Take a job's result into the namespace.

    A name is replaced only if it still holds the job's placeholder, or isn't bound at all: whatever the
    user did meanwhile wins. A name that the job left as it was gets its old value back, the very object. An
    object that the job changed although nothing told so is taken if it is still here as it was sent.

    Parameters
    ----------
    path: the result file
    key: the job's key, in hexadecimal
    signature: what the job said the file's signature is
    sent: the file that `capture` wrote for the job

    Returns
    -------
    ``delivered`` and ``kept`` names, ``changed`` names (which the job changed, and the user too: kept),
    ``unavailable`` names with reasons, or ``error`` with a sentence.
    """
    namespace = _namespace()
    owned = placeholders.owned(namespace, token)
    referred = {name: placeholders.became(value) for name, value in _sent.pop(token, {}).items()}
    try:
        with open(path, "rb") as file:
            reader = sealed.Reader(file, key, signature)
            arrived = dict(pickling.load_pairs(reader.stream, namespace, referred, reader.fetch))
    except sealed.NotGenuineError as error:
        return _refused(owned, f"the result file isn't what the job wrote ({error})")
    except Exception as error:  # noqa: BLE001 (unpickling runs any code: whatever it raises is told)
        return _refused(owned, f"it can't be loaded here: {type(error).__name__}: {error}")
    return _taken(token, owned, arrived, sent)


def deliver_map(
    token: str, results: list[tuple[str, str]], lost: list[tuple[int, int, str, str]], count: int, key: str,
    sent: str,
) -> dict[str, Any]:  # fmt: skip
    """Take the results of a map's tasks into the namespace: each name becomes a list, in item order.

    Parameters
    ----------
    results: of each task the result file, and what it said the file's signature is
    lost: see `mapped.collected`
    count: how many items there are
    token, key, sent: see `deliver`, whose answer this one's is like
    """
    namespace = _namespace()
    owned = placeholders.owned(namespace, token)
    found: list[items.Result] = []
    for path, signature in results:
        try:
            with open(path, "rb") as file:
                found += items.read(sealed.Reader(file, key, signature), namespace)
        except sealed.NotGenuineError as error:
            return _refused(owned, f"{path} isn't what the job wrote ({error})")
        except Exception as error:  # noqa: BLE001 (unpickling runs any code: whatever it raises is told)
            return _refused(owned, f"it can't be loaded here: {type(error).__name__}: {error}")
    arrived = mapped.collected(found, lost, count, _placed.get(token, frozenset()))
    _maps.discard(token)
    _sent.pop(token, None)
    return _taken(token, owned, arrived, sent)


def _taken(
    token: str, owned: dict[str, placeholders.Pending], arrived: dict[str, Any], sent: str
) -> dict[str, Any]:
    """Take the names of a result into the namespace; see `deliver`."""
    namespace = _namespace()
    expected = _placed.pop(token, frozenset())
    number, was = _numbers.pop(token, (0, 0))
    arrived = {history.name_of(number) if n == history.name_of(was) else n: v for n, v in arrived.items()}
    answer: dict[str, Any] = {"delivered": [], "kept": [], "changed": [], "unavailable": {}}
    unseen = {
        name for name in arrived if name in namespace and name not in owned and name not in expected
    }  # fmt: skip
    untouched = _as_sent(unseen, sent)
    for name, value in arrived.items():
        if name == history.name_of(number):
            history.show(number, value)
        if name in owned:
            placeholders.settle(
                namespace, name, owned.pop(name), UNBOUND if value is pickling.GONE else value
            )
        elif name in expected:
            answer["kept"].append(name)
            continue
        elif name in unseen - untouched:
            answer["changed"].append(name)
            continue
        elif value is pickling.GONE:
            namespace.pop(name, None)
        else:
            namespace[name] = value  # bound, or changed, in a way that the cell's analysis couldn't see
        if isinstance(value, pickling.Unavailable):
            answer["unavailable"][name] = pickling.reason_of(value)
        else:
            answer["delivered"].append(name)
    for name, pending in owned.items():
        placeholders.restore(namespace, name, pending)
    inputs.brought(namespace, answer["delivered"], token)
    return answer


def _as_sent(names: set[str], sent: str) -> set[str]:
    """Those of the names whose values here are still what was sent."""
    if not names:
        return set()
    namespace = _namespace()
    then: dict[str, Any] = {}
    with open(sent, "rb") as file:
        pickling.load_namespace(file, then, fetch=buffers.beside(Path(sent)))
    return {
        name
        for name in names & set(then)
        if changes.checksum(then[name], then) == changes.checksum(namespace[name], namespace)
    }


def fail(token: str, reason: str) -> None:
    """The job failed: its names say so from now on."""
    namespace = _namespace()
    _sent.pop(token, None)
    for name, pending in placeholders.owned(namespace, token).items():
        if _SHOWN.fullmatch(name):
            placeholders.restore(namespace, name, pending)
        else:
            pending._ganga_failure = reason


def supersede(tokens: list[str]) -> None:
    """The cells of jobs that failed are run again: their names have the values from before.

    Failed jobs that were to change such a name afterwards were skipped for it, and go the same way.
    """
    namespace = _namespace()
    for token in tokens:
        for name in placeholders.owned(namespace, token):
            for pending in placeholders.failed_since(namespace, name, token):
                placeholders.restore(namespace, name, pending)


def _refused(owned: dict[str, placeholders.Pending], why: str) -> dict[str, Any]:
    for pending in owned.values():
        pending._ganga_failure = why
    return {"error": why}


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
