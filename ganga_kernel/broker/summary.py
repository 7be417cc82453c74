"""A job as the notebook sees it, from the store's rows. Pure."""

from __future__ import annotations

from typing import Any

from ..states import STATES

#: A job of several tasks shows the first of these that one of its tasks is in.
_PRECEDENCE = (
    "held", "running", "queued", "accepted", "waiting", "refused", "failed", "lost", "skipped", "killed",
    "done",
)  # fmt: skip


def job_state(tasks: list[dict[str, Any]]) -> str:
    """The state of a job from those of its tasks."""
    states = {task["state"] for task in tasks}
    return next(state for state in _PRECEDENCE if state in states)


def error_of(job: dict[str, Any]) -> dict[str, Any] | None:
    """The error that a job's summary stands for, as Jupyter's error messages have it; None if it is done.

    It is the cell's own, where the cell could report one.
    """
    if job["state"] == "done":
        return None
    if job["error"]:
        return {key: job["error"][key] for key in ("ename", "evalue", "traceback")}
    name = f"Job{job['state'].capitalize()}"
    sentence = f"job {job['id']}: {job['reason'] or STATES[job['state']].sentence}"
    return {"ename": name, "evalue": sentence, "traceback": [f"\x1b[31m{name}\x1b[0m: {sentence}"]}


def needed_in_vain(job: dict[str, Any]) -> str:
    """What stands above a job's error in a cell that needs what the job was to bind."""
    return f"This cell needs a name from In[{job['execution_count']}], whose job {job['id']} ended so:"


def summary(job: dict[str, Any]) -> dict[str, Any]:
    """What clients get to know of a job: plain data, small."""
    tasks = job["tasks"]
    state = job_state(tasks)
    shown = next(task for task in tasks if task["state"] == state)
    started = [task["started"] for task in tasks if task["started"]]
    ended = [task["ended"] for task in tasks]
    keys = ("id", "token", "notebook", "label", "execution_count", "names", "backend", "resources",
            "folder", "native", "ganga_id", "created", "submitted", "delivered")  # fmt: skip
    return {
        **{key: job[key] for key in keys},
        "state": state,
        "reason": shown["reason"],
        "host": shown["host"],
        "attempt": shown["attempt"],
        "exit_code": shown["exit_code"],
        "error": shown["error"],
        "result": shown["result"],
        "usage": shown["usage"],
        "notes": shown["notes"],
        "tasks": len(tasks),
        "started": min(started) if started else None,
        "ended": max(ended) if all(ended) else None,
    }
