"""Whether a cell that is run again attaches to the job that it started before. Pure."""

from __future__ import annotations

from typing import Any

from ..states import ended

#: Column `delivered`: not yet, the notebook has the results, or it couldn't take them.
NOT_YET, TAKEN, REFUSED = 0, 1, 2


def attaches(job: dict[str, Any], state: str, mode: str, whole: bool) -> bool:
    """Whether a job can be attached to.

    Parameters
    ----------
    job: its row in the store; the newest of the cell's
    state: of the job
    mode: "never", "undelivered" or "any": whether also if its results were delivered
    whole: whether its files are still there
    """
    if mode == "never" or job["delivered"] == REFUSED or not whole:
        return False
    if not ended(state):
        return not job["kill_asked"]
    return state == "done" and (mode == "any" or job["delivered"] == NOT_YET)
