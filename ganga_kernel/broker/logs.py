"""What is left of a job for whoever looks into it: its tasks' last words, and its backend's log."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..states import ended
from . import backends, clusters, usage
from .reading import events_of, texts_of
from .summary import summary

#: Tasks that are told; bytes of the end of a file, or characters of the end of a text.
_TASKS, _TAIL = 20, 4000
#: How many of a task's last outputs are looked at.
OUTPUTS = 500


def logs(
    job: dict[str, Any], only: int | None = None, outputs: Iterable[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Tell what is left of a job, or of one task. Reads files of its folder.

    Parameters
    ----------
    job: its row in the store, with its tasks
    only: the one task that is told
    outputs: this one's last outputs

    Returns
    -------
    ``job``, its summary; ``tasks``, those that ended badly first: columns of the store, ``said``, what a
    process said outside of the cell, and ``wrote``, what its cell wrote last; ``more``: how many tasks aren't
    told; ``used``: see `usage.figures`; ``log`` and ``log_tail``: path and end of the backend's log, empty if
    there is none.
    """
    folder = Path(job["folder"])
    tasks = sorted(job["tasks"], key=_goodness) if only is None else [job["tasks"][only]]
    log = backends.log(job, tasks[0]["task"])
    wrote = _end("".join(text for _, text in texts_of(o for o in outputs if o["output"]["type"] != "error")))
    return {
        "job": summary(job),
        "tasks": [{**_task(folder, task), "wrote": wrote} for task in tasks[:_TASKS]],
        "more": max(0, len(tasks) - _TASKS),
        "used": usage.figures(job),
        "log": str(log or ""),
        "log_tail": _log_tail(log, None if only is None else clusters.proc_of(job["clusters"], only))
        if log
        else "",
    }


def _goodness(task: dict[str, Any]) -> int:
    if task["state"] == "done":
        return 2
    return 0 if ended(task["state"]) else 1


def _task(folder: Path, task: dict[str, Any]) -> dict[str, Any]:
    told = ("task", "state", "reason", "host", "attempt", "exit_code", "error", "frames", "again")
    return {**{key: task[key] for key in told}, "said": _tail(folder / f"{task['task']}.stderr")}


def _log_tail(log: Path, proc: str | None) -> str:
    """The end of HTCondor's log, or of what it says of one proc."""
    if proc is None:
        return _tail(log)
    try:
        return _end(events_of(log.read_text(errors="replace"), proc))
    except OSError:
        return ""


def _tail(path: Path) -> str:
    """The last lines of a file; empty if it can't be read."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - _TAIL))
            text = file.read().decode(errors="replace")
    except OSError:  # it isn't there, or a network's file system has lost it
        return ""
    return _end(text, cut=size > _TAIL)


def _end(text: str, cut: bool = False) -> str:
    """The last lines of a text.

    Parameters
    ----------
    cut: whether the text is an end already, and its first line perhaps not whole
    """
    last = text[-_TAIL:]
    return ((last.partition("\n")[2] if cut or len(text) > _TAIL else "") or last).strip("\n")
