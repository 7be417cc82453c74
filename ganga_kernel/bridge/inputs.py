"""What the inputs of a cell are, so that running it again finds its job: values, and jobs that bring others.

A name that a job has yet to bring counts as that job's. What a job brought counts as its value, and also as
the job's as long as it is unchanged: the cell may have been submitted before it came.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Callable

from ..payload import buffers
from . import modules
from .fingerprint import NoFingerprint, fingerprint

#: Jobs that cells were submitted to run after.
_awaited: set[str] = set()
#: The job that brought a name's value, and the value's fingerprint as it came, by name.
_origins: dict[str, tuple[str, str]] = {}


def await_job(token: str) -> None:
    """A cell of this notebook was, or may have been, submitted to run after this job."""
    _awaited.add(token)


def brought(namespace: dict[str, Any], names: Iterable[str], token: str) -> None:
    """A job brought the values of names."""
    for name in names:
        _origins.pop(name, None)
        if token in _awaited:
            try:
                _origins[name] = (token, fingerprint(namespace, [name]))
            except NoFingerprint:
                continue


def compared(
    namespace: dict[str, Any], names: set[str], after: list[list[Any]], instead: Mapping[str, Any],
    source: str, skip: set[str], state: Mapping[str, Any] = MappingProxyType({}),
    digest_of: Callable[[Any], str] = buffers.digest,
) -> dict[str, Any]:  # fmt: skip
    """The fingerprints under which a job with these inputs may be known, or why there is none.

    Parameters
    ----------
    names: names whose values count
    after: the jobs that bring others, see `capture.capture`
    instead: values that count in place of the namespace's
    source: the cell, as Python; modules of the user's own that it imports count as well
    skip: names that don't count
    state: what else counts: what was set in modules of the user's own
    digest_of: the digest of a large buffer

    Returns
    -------
    ``inputs``, the fingerprints, that of the values first; or ``unlike``: a name that can't be compared,
    and the reason.
    """
    imports = modules.imported_by(source)

    def digest(of_jobs: dict[str, str]) -> str:
        values = fingerprint(
            namespace, names - set(of_jobs), imports, skip | set(of_jobs), instead, digest_of
        )
        jobs = {token: set(found) for token, found, _ in after}
        for name, token in of_jobs.items():
            jobs.setdefault(token, set()).add(name)
        whole = [values, set_in_modules, sorted((token, sorted(found)) for token, found in jobs.items())]
        return hashlib.sha256(json.dumps(whole).encode()).hexdigest()

    try:
        set_in_modules = fingerprint({"modules": dict(state)}, ["modules"])
        found = [digest({})]
        if of_jobs := _unchanged(namespace, names - set(instead), digest_of):
            found.append(digest(of_jobs))
    except NoFingerprint as error:
        return {"unlike": {"name": error.name, "reason": error.reason}}
    return {"inputs": found}


def _unchanged(namespace: dict[str, Any], names: set[str], digest_of: Callable[[Any], str]) -> dict[str, str]:
    """Those of the names that are still as a job brought them, and the job."""
    return {
        name: token
        for name, (token, digest) in _origins.items()
        if name in names and fingerprint(namespace, [name], digest_of=digest_of) == digest
    }
