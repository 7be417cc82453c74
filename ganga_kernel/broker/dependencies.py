"""Jobs that need what other jobs bind: when they may start, and what they are given."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from .. import spool
from ..errors import BadSignature
from ..payload import sealed
from .summary import error_of, needed_in_vain


def waits_for(needed: list[dict[str, Any]]) -> str:
    """A sentence on the jobs that aren't done yet, of those that a job needs; empty if all are."""
    waiting = [job for job in needed if job["state"] != "done"]
    if not waiting:
        return ""
    named = [f"job {job['id']} (In[{job['execution_count']}])" for job in waiting]
    return f"It waits for {' and '.join(named)}."


def inherited(failed: dict[str, Any]) -> dict[str, Any]:
    """The error of a job that needs one which did not end well."""
    error = error_of(failed)
    assert error is not None
    return {**error, "traceback": [needed_in_vain(failed), *error["traceback"]]}


def bring(folder: Path, sources: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """Put the results of the jobs before it into a job's folder, once they are seen to be genuine.

    Parameters
    ----------
    sources: for each job, the oldest first: its summary, and what to take (`spool.add_inputs`)

    Raises
    ------
    BadSignature: a result isn't what its job wrote.
    OSError: it can't be read.
    """
    inputs = []
    for job, wanted in sources:
        theirs = Path(job["folder"])
        result = theirs / job["result"]["file"]
        if not sealed.verify(result, spool.secret(theirs), job["result"]["signature"]):
            raise BadSignature(
                f"The result of job {job['id']} isn't what it wrote: its signature is wrong.",
                "Run that cell again.",
            )
        mine = folder / f"{job['token']}.result"
        _link(result, mine)
        inputs.append({"file": str(mine), **wanted})
    spool.add_inputs(folder, inputs)


def _link(source: Path, target: Path) -> None:
    """The same file in another folder; a copy where links can't be made, as on AFS."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
