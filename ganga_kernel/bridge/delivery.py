"""Delivery: names become pending, and get what their job left, or the reason why it left nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from IPython import get_ipython

from ..payload import buffers, changes, items, pickling, sealed, unpickling
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
    placeholders.place(namespace, names, token, job, frozenset(behind), frozenset(surely), replaces)
    placed = placeholders.owned(namespace, token)
    if before is not None:
        placeholders.replace(before.placed, placed)
    awaited.jobs[token] = Awaited(frozenset(names), objects, placed, number, was, is_map, merging)


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
    sent: the file that `capture.capture` wrote for the job

    Returns
    -------
    ``delivered`` and ``kept`` names, ``changed`` names (which the job changed, and the user too: kept),
    ``unavailable`` names with reasons, or ``error`` with a sentence.
    """
    namespace = _namespace()
    owned = placeholders.owned(namespace, token)
    became = {name: placeholders.became(value) for name, value in awaited.of(token).sent.items()}
    referred = {name: value for name, value in became.items() if value is not UNBOUND}
    try:
        with open(path, "rb") as file:
            reader = sealed.Reader(file, key, signature)
            arrived = unpickling.load_all(reader.stream, namespace, referred, reader.fetch)
    except sealed.NotGenuineError as error:
        return _refused(owned, f"the result file isn't what the job wrote ({error})")
    except Exception as error:  # noqa: BLE001 (unpickling runs any code: whatever it raises is told)
        return _refused(owned, f"it can't be loaded here: {type(error).__name__}: {error}")
    return _taken(token, owned, arrived, sent)


def deliver_map(
    token: str, results: list[list[tuple[str, str, str]]], lost: mapped.Lost, count: int, sent: str
) -> dict[str, Any]:
    """Take the results of a map's tasks into the namespace: each name becomes a list, in item order.

    Parameters
    ----------
    results: of this job, and before it of those whose failed items it ran again, for each task in order: the
        result file, the job's key, and what the task said the file's signature is
    lost: see `mapped.collected`
    count: how many items there are
    token, sent: see `deliver`, whose answer this one's is like
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
    return _taken(token, owned, arrived, sent)


def _read(results: list[tuple[str, str, str]], namespace: dict[str, Any]) -> Iterator[items.Result]:
    """What the items of a job left, in the order of its tasks.

    Parameters
    ----------
    results: see `deliver_map`
    """
    for path, key, signature in results:
        with open(path, "rb") as file:
            yield from items.read(sealed.Reader(file, key, signature), namespace)


def _taken(
    token: str, owned: dict[str, placeholders.Pending], arrived: dict[str, Any], sent: str
) -> dict[str, Any]:
    """Take the names of a result into the namespace; see `deliver`."""
    namespace = _namespace()
    job = awaited.of(token)
    job.sent, job.placed = {}, {}
    shown, was = history.name_of(job.number), history.name_of(job.was)
    arrived = {shown if name == was else name: value for name, value in arrived.items()}
    answer: dict[str, Any] = {"delivered": [], "kept": [], "changed": [], "unavailable": {}}
    unseen = {
        name for name in arrived if name in namespace and name not in owned and name not in job.names
    }  # fmt: skip
    untouched = _as_sent(unseen, sent)
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
    inputs.brought(namespace, answer["delivered"], token)
    return answer


def _as_sent(names: set[str], sent: str) -> set[str]:
    """Those of the names whose values here are still what was sent."""
    if not names:
        return set()
    namespace = _namespace()
    then: dict[str, Any] = {}
    with open(sent, "rb") as file:
        unpickling.load_namespace(file, then, fetch=buffers.beside(Path(sent)))
    return {
        name
        for name in names & set(then)
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
