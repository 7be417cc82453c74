"""A job that is submitted once more, as another job: which of its items run, and what it is to do. Pure.

Another job, since Ganga lets none go from failed to running, and resubmitting one there empties its output
folder. What the first one left is kept: the two deliver together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import maps
from ..errors import BackendError
from ..states import ended
from .summary import failed_since, lost_items, summary

#: Columns that it has from the first one.
_SAME = ("notebook", "cell", "source", "label", "names", "python", "after", "backend")


def repeated(
    job: dict[str, Any], failures: Iterable[int], failed: bool, resources: dict[str, Any], slots: int,
    seconds: float,
) -> dict[str, Any]:  # fmt: skip
    """The fields of the new job that a client would submit, but for its token, number and folder.

    Parameters
    ----------
    job: the first one's row in the store
    failures: items of which it knows that they failed
    failed: of a map, only the items run that failed or were lost; the others may run still
    resources: what is asked for in place of what the first one asked for
    slots, seconds: see `maps.divided`

    Raises
    ------
    BackendError: there is nothing to run again.
    """
    state = summary(job)["state"]
    only = None
    if job["map"]:
        only = sorted({*failures, *lost_items(job), *failed_since(job)}) if failed else job["map"]["only"]
    if not ended(state) and not (failed and only):
        what = "it has not ended, and no item has failed" if failed and job["map"] else "it has not ended"
        raise BackendError(
            f"Job {job['id']} is {state}: {what}.", f"Wait for it, or %kill {job['id']} first."
        )
    if (state == "done" and not (failed and only)) or only == []:
        raise BackendError(f"Job {job['id']} is {state}: nothing of it failed.", "Run its cell again.")
    same = {name: job[name] for name in _SAME}
    mapped = _mapped(job, only, slots, seconds) if job["map"] else None
    return {
        **same,
        "resources": {**job["resources"], **resources},
        "map": mapped,
        "tasks": len(mapped["chunks"]) if mapped else 1,
        "fingerprints": [job["fingerprint"]] if job["fingerprint"] else [],
        "replaces": job["token"],
    }


def _mapped(job: dict[str, Any], only: list[int] | None, slots: int, seconds: float) -> dict[str, Any]:
    described = {**job["map"], "only": only, "rehearse": False}
    return {**described, **maps.divided(maps.total(described), job["backend"], slots, None, seconds)}
