"""Capture and delivery: names out of the notebook's namespace, and into it."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import types
from typing import Any

from IPython import get_ipython

from ..payload import pickling
from . import history, names, placeholders, reach

#: Environment variables that don't travel: they look like secrets, or belong to this very process.
_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE|^JPY_|^JUPYTER|^PS1$|^PYDEVD|^LS_COLORS$", re.I
)


#: Names that were made pending, by the job's token.
_placed: dict[str, frozenset[str]] = {}


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
    return {"needed": sorted(needed), "pending": everything}


def capture(source: str, number: int, objects: str) -> dict[str, Any]:
    """Write what the cell reads to a file, and say what else the job needs to run as it would here.

    Parameters
    ----------
    source: the cell
    number: its In[n]
    objects: folder of content-addressed files; the namespace becomes ``<sha256>.pkl`` there

    Returns
    -------
    Either ``{"error": {…}}``: the cell doesn't compile. Or ``{"waits": [token, …]}``: pending names stand in
    the way. Or the file, names with their sizes in
    bytes, names that can't travel with the reason, names that the cell binds, and the environment.
    """
    shell = get_ipython()
    namespace = shell.user_ns
    error = history.error(source, number)
    if error:
        return {"error": error}
    found = names.analyse(shell.transform_cell(source))
    wanted = (found.reads | found.mutates) & set(namespace)
    wanted -= _own_names(shell)
    waits = needs(source)["needed"]
    if waits:
        return {"waits": waits}
    handle, path = tempfile.mkstemp(dir=objects, prefix="capture-")
    try:
        with os.fdopen(handle, "w+b") as file:
            dumped = pickling.dump_namespace(namespace, sorted(wanted), file)
            waits = [
                namespace[name]._ganga_token
                for name in dumped.unpicklable
                if type(namespace[name]) is placeholders.Pending
            ]
            if waits:
                os.unlink(path)
                return {"waits": sorted(set(waits))}
            digest = _digest(file)
        final = os.path.join(objects, f"{digest}.pkl")
        os.replace(path, final)
    except BaseException:
        if os.path.exists(path):
            os.unlink(path)
        raise
    mutates = {
        name for name in found.mutates & set(namespace)
        if not isinstance(namespace[name], types.ModuleType)
    }  # fmt: skip
    return {
        "namespace": final,
        "names": dumped.sizes,
        "unpicklable": dumped.unpicklable,
        "binds": sorted(found.binds | mutates),
        "environment": _environment(shell),
    }


def place(names: list[str], token: str, job: int) -> None:
    """Make names pending until the job delivers."""
    placeholders.place(_namespace(), names, token, job)
    _placed[token] = frozenset(names)


def deliver(token: str, path: str, key: str, signature: str) -> dict[str, Any]:
    """Take a job's result into the namespace.

    A name is replaced only if it still holds the job's placeholder, or isn't bound at all: whatever the
    user did meanwhile wins. A name that the job didn't bind gets its old value back.

    Parameters
    ----------
    key: the job's key, in hexadecimal
    signature: what the job said the file's signature is

    Returns
    -------
    ``delivered`` and ``kept`` names, ``unavailable`` names with reasons, or ``error`` with a sentence.
    """
    namespace = _namespace()
    owned = placeholders.owned(namespace, token)
    if not pickling.verify(path, key, signature):
        return _refused(owned, "the result file isn't what the job wrote (its signature is wrong)")
    try:
        with open(path, "rb") as file:
            arrived = dict(pickling.load_pairs(file, namespace))
    except Exception as error:  # noqa: BLE001 (unpickling runs any code: whatever it raises is told)
        return _refused(owned, f"it can't be loaded here: {type(error).__name__}: {error}")
    delivered, kept, unavailable = [], [], {}
    expected = _placed.pop(token, frozenset())
    for name, value in arrived.items():
        if name in owned:
            placeholders.settle(namespace, name, owned.pop(name), value)
        elif name in namespace or name in expected:
            kept.append(name)
            continue
        else:
            namespace[name] = value  # the cell bound it in a way that its analysis couldn't see
        if isinstance(value, pickling.Unavailable):
            unavailable[name] = pickling.reason_of(value)
        else:
            delivered.append(name)
    for name, pending in owned.items():
        placeholders.restore(namespace, name, pending)
    return {"delivered": delivered, "kept": kept, "unavailable": unavailable}


def fail(token: str, reason: str) -> None:
    """The job failed: its names say so from now on."""
    for pending in placeholders.owned(_namespace(), token).values():
        pending._ganga_failure = reason


def _refused(owned: dict[str, placeholders.Pending], why: str) -> dict[str, Any]:
    for pending in owned.values():
        pending._ganga_failure = why
    return {"error": why}


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    file.flush()
    file.seek(0)
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
    return digest.hexdigest()


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
