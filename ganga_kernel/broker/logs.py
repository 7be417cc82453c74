"""What is left of a job for whoever looks into it: its tasks' last words, and its backend's log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..states import ended
from . import backends, usage
from .summary import summary

#: Tasks that are told; bytes of the end of a file.
_TASKS, _TAIL = 20, 4000


def logs(job: dict[str, Any]) -> dict[str, Any]:
    """Tell what is left of a job. Reads files of its folder.

    Parameters
    ----------
    job: its row in the store, with its tasks

    Returns
    -------
    ``job``, its summary; ``tasks``, those that ended badly first: columns of the store, and ``said``, what a
    process said outside of the cell; ``more``: how many tasks aren't told; ``used``: see `usage.figures`;
    ``log`` and ``log_tail``: path and
    end of the backend's log, empty if there is none.
    """
    folder = Path(job["folder"])
    tasks = sorted(job["tasks"], key=_goodness)
    log = backends.log(job)
    return {
        "job": summary(job),
        "tasks": [_task(folder, task) for task in tasks[:_TASKS]],
        "more": max(0, len(tasks) - _TASKS),
        "used": usage.figures(job),
        "log": str(log or ""),
        "log_tail": _tail(log) if log else "",
    }


def _goodness(task: dict[str, Any]) -> int:
    if task["state"] == "done":
        return 2
    return 0 if ended(task["state"]) else 1


def _task(folder: Path, task: dict[str, Any]) -> dict[str, Any]:
    told = ("task", "state", "reason", "host", "attempt", "exit_code", "error", "frames", "again")
    return {**{key: task[key] for key in told}, "said": _tail(folder / f"{task['task']}.stderr")}


def _tail(path: Path) -> str:
    """The last lines of a file; empty if it can't be read."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - _TAIL))
            text = file.read().decode(errors="replace")
    except OSError:  # it isn't there, or a network's file system has lost it
        return ""
    return ((text.partition("\n")[2] if size > _TAIL else "") or text).strip()
