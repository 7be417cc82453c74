"""A job as the notebook sees it, from the store's rows. Pure."""

from __future__ import annotations

from typing import Any

#: A job of several tasks shows the first of these that one of its tasks is in.
_PRECEDENCE = (
    "held", "running", "queued", "accepted", "refused", "failed", "lost", "killed", "done",
)  # fmt: skip


def job_state(tasks: list[dict[str, Any]]) -> str:
    """The state of a job from those of its tasks."""
    states = {task["state"] for task in tasks}
    return next(state for state in _PRECEDENCE if state in states)


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
