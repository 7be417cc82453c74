"""Delivery: names become pending, and get what their job left, or the reason why it left nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from IPython import get_ipython

from ..payload import changes, items, pickling, result, sealed, unpickling
from ..payload.job import Job
from . import awaited, history, inputs, mapped, placeholders
from .awaited import Awaited
from .placeholders import UNBOUND


def _namespace() -> dict[str, Any]:
    return get_ipython().user_ns  # type: ignore[no-any-return]


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
    links: dict[str, list[str]],
    atoms: list[str],
    source: str,
    merges: dict[str, str],
    replaces: str,
) -> None:
    """Make names pending until the job delivers.

    Parameters
    ----------
    behind: names that the values may read, see `capture.capture`
    surely: those that the job surely binds, see `capture.capture`
    sent: names whose values the job gets, and may refer to in its result
    after: tokens of the jobs that it takes names from
    number: the cell's In[n]
    was: its In[n] when the job was submitted
    attached: whether it was submitted when the cell ran before
    is_map: whether the cell runs once for each item
    links: for each name those that may share an object with it then
    atoms: those that get nothing that could be changed
    source: the cell
    merges: of a map, expressions of functions that merge the values of names
    replaces: token of the job whose work, or what failed of it, this one does once more; else empty
    """
    namespace = _namespace()
    before = awaited.jobs.get(replaces)
    merging = mapped.merging(merges) if before is None else before.merges
    names = [history.name_of(number) if name == history.name_of(was) else name for name in names]
    for other in [*after, token] if attached else after:
        inputs.await_job(other)
    here = {name: namespace[name] for name in sent if name in namespace}
    objects = here if before is None else before.sent  # what it was sent, whatever its names hold by now
    placeholders.place(
        namespace, names, token, job, frozenset(behind), frozenset(surely), links, atoms, replaces
    )
    placed = placeholders.owned(namespace, token)
    if before is not None:
        placeholders.replace(before.placed, placed)
    source = get_ipython().transform_cell(source)
    known = {} if before is None else dict(before.parts)
    new = Awaited(frozenset(names), objects, placed, number, was, is_map, source, known, merging)
    new.look()
    awaited.jobs[token] = new


def deliver(token: str, path: str, key: str, signature: str, job_file: str) -> dict[str, Any]:
    """Take a job's result into the namespace.

    A name is replaced only if it still holds the job's placeholder, or isn't bound at all: whatever the
    user did meanwhile wins. A name that the job left as it was gets its old value back, the very object. An
    object that the job changed gets its new content, and so it has changed for all who hold it. If nothing
    told that the job would change it, it does so only if it is still here as it was sent.

    Parameters
    ----------
    path: the result file
    key: the job's key, in hexadecimal
    signature: what the job said the file's signature is
    job_file: the job's description, which tells what it was sent

    Returns
    -------
    ``delivered`` and ``kept`` names, ``changed`` names (which the job changed, and the user too: kept),
    ``unavailable`` names with reasons, or ``error`` with a sentence.
    """
    namespace = _namespace()
    owned = placeholders.owned(namespace, token)
    try:
        with open(path, "rb") as file:
            reader = sealed.Reader(file, key, signature)
            known = result.Known(reader, namespace, awaited.of(token).known())
            arrived, contents = unpickling.load_all(reader.stream, namespace, known, reader.fetch)
    except sealed.NotGenuineError as error:
        return _refused(owned, f"the result file isn't what the job wrote ({error})")
    except Exception as error:  # noqa: BLE001 (unpickling runs any code: whatever it raises is told)
        return _refused(owned, f"it can't be loaded here: {type(error).__name__}: {error}")
    changed = [(key.name, known[key], content) for key, content in contents if key in known]
    return _taken(token, owned, arrived, changed, job_file)


def deliver_map(
    token: str, results: list[list[tuple[str, str, str, int]]], lost: mapped.Lost, count: int, job_file: str
) -> dict[str, Any]:
    """Take the results of a map's tasks into the namespace: each name becomes a list, in item order.

    Parameters
    ----------
    results: of this job, and before it of those whose failed items it ran again, for each task in order: the
        result file, the job's key, what the task said the file's signature is, and its last item that counts
    lost: see `mapped.collected`
    count: how many items there are
    token, job_file: see `deliver`, whose answer this one's is like
    """
    namespace = _namespace()
    owned = placeholders.owned(namespace, token)
    job = awaited.of(token)
    try:
        found = mapped.newest([_read(of_job, namespace) for of_job in results])
        arrived = mapped.collected(found, lost, count, job.names, job.merges)
    except sealed.NotGenuineError as error:
        return _refused(owned, f"a result file isn't what the job wrote ({error})")
    except mapped.MapError as error:
        return _refused(owned, str(error))
    except Exception as error:  # noqa: BLE001 (unpickling runs any code: whatever it raises is told)
        return _refused(owned, f"it can't be loaded here: {type(error).__name__}: {error}")
    return _taken(token, owned, arrived, [], job_file)


def _read(results: list[tuple[str, str, str, int]], namespace: dict[str, Any]) -> Iterator[items.Result]:
    """What the items of a job left, in the order of its tasks.

    Parameters
    ----------
    results: see `deliver_map`
    """
    for path, key, signature, last in results:
        with open(path, "rb") as file:
            found = items.read(sealed.Reader(file, key, signature), namespace)
            yield from (one for one in found if one.item <= last)


def _taken(
    token: str, owned: dict[str, placeholders.Pending], arrived: dict[str, Any],
    changed: list[tuple[str, Any, Any]], job_file: str,
) -> dict[str, Any]:  # fmt: skip
    """Take the names of a result into the namespace; see `deliver`.

    Parameters
    ----------
    changed: objects that it changed: the name that each is part of, the object here, and its new content
    job_file: see `deliver`
    """
    namespace = _namespace()
    job = awaited.of(token)
    job.has_delivered()
    shown, was = history.name_of(job.number), history.name_of(job.was)
    arrived = {shown if name == was else name: value for name, value in arrived.items()}
    answer: dict[str, Any] = {"delivered": [], "kept": [], "changed": [], "unavailable": {}}
    unseen = {
        name for name in arrived if name in namespace and name not in owned and name not in job.names
    }  # fmt: skip
    told = {name for name, _, _ in changed if name not in job.names}
    untouched = _as_sent(unseen | told, job_file)
    for name, value, content in changed:
        if name in job.names or name in untouched:
            reason = unpickling.fill(value, content)
            if reason:
                answer["unavailable"][name] = reason
                if arrived.get(name, pickling.GONE) is not pickling.GONE:
                    arrived[name] = pickling.Unavailable(name, reason)
    for name, value in arrived.items():
        if name == shown:
            history.show(job.number, value)
        if name in owned:
            placeholders.settle(
                namespace, name, owned.pop(name), UNBOUND if value is pickling.GONE else value
            )
        elif name in job.names:
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
    for other in awaited.jobs.values():
        other.arrived(token, arrived)
    inputs.brought(namespace, answer["delivered"], token)
    return answer


def _as_sent(names: set[str], job_file: str) -> set[str]:
    """Those of the names whose values here are still what the job was sent."""
    if not names:
        return set()
    namespace = _namespace()
    then: dict[str, Any] = {}
    result.load_inputs(Job.read(Path(job_file)), then, contextlib.nullcontext)
    return {
        name
        for name in names & set(then) & set(namespace)
        if changes.checksum(then[name], then) == changes.checksum(namespace[name], namespace)
    }


def fail(token: str, reason: str) -> None:
    """The job failed: its names say so from now on."""
    namespace = _namespace()
    for name, pending in placeholders.owned(namespace, token).items():
        if history.is_shown(name):
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
