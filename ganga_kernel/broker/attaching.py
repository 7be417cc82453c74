"""Whether a cell that is run again attaches to the job that it started before. Pure."""

from __future__ import annotations

from typing import Any

from ..states import ended
from .summary import job_state

#: Column `delivered`: not yet, the notebook has the results, or it couldn't take them.
NOT_YET, TAKEN, REFUSED = 0, 1, 2


def attaches(job: dict[str, Any], mode: str, whole: bool) -> bool:
    """Whether a job can be attached to.

    Parameters
    ----------
    job: its row in the store, with its tasks; the newest of the cell's
    mode: "never", "undelivered" or "any": whether also if its results were delivered
    whole: whether its result is still there
    """
    state = job_state(job["tasks"])
    if mode == "never" or job["delivered"] == REFUSED:
        return False
    if not ended(state):
        return not job["kill_asked"]
    return state == "done" and whole and (mode == "any" or job["delivered"] == NOT_YET)
