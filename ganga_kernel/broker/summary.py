"""A job as the notebook sees it, from the store's rows. Pure."""

from __future__ import annotations

from typing import Any

from .. import maps
from ..condor import limits
from ..states import STATES, ended
from . import clusters, eta, rehearsing, retries, usage
from .progress import delivers

#: A job of several tasks shows the first of these that one of its tasks is in.
_PRECEDENCE = (
    "held", "running", "queued", "accepted", "waiting", "refused", "broken", "failed", "lost", "skipped",
    "killed", "done",
)  # fmt: skip
#: Tasks without a result that are told one by one.
_LOST = 5


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
    if job["state"] in ("broken", "failed", "lost") and job["items"] and job["items"]["failures"]:
        return _error_of_items(job)
    if job["error"]:
        return {key: job["error"][key] for key in ("ename", "evalue", "traceback")}
    name = f"Job{job['state'].capitalize()}"
    sentence = f"job {job['id']}: {job['reason'] or STATES[job['state']].sentence}"
    return {"ename": name, "evalue": sentence, "traceback": [f"\x1b[31m{name}\x1b[0m: {sentence}"]}


def _error_of_items(job: dict[str, Any]) -> dict[str, Any]:
    """The error of a map with failed items: the first one's, and which ones failed."""
    items = job["items"]
    first = items["failures"][0]
    listed = maps.shown([one["item"] for one in items["failures"]])
    more = " and more" if len(items["failures"]) < items["failed"] else ""
    sentence = (
        f"{items['failed']} of {items['total']} items of job {job['id']} failed: {listed}{more}. Mend the "
        f"cell and run it again, run these items again with %resubmit {job['id']} --failed, or take what "
        "there is with --allow-failures."
    )
    error = job["error"] or {}
    name, said = first["ename"], f"item {first['item']}: {first['evalue']}"
    traceback = error.get("traceback") or [f"\x1b[31m{name}\x1b[0m: {said}"]
    return {"ename": name, "evalue": f"{said} ({sentence})", "traceback": [*traceback, sentence]}


def needed_in_vain(job: dict[str, Any]) -> str:
    """What stands above a job's error in a cell that needs what the job was to bind."""
    return f"This cell needs a name from In[{job['execution_count']}], whose job {job['id']} ended so:"


def beside(job: dict[str, Any]) -> dict[str, Any] | None:
    """The job of whose items this one runs those that failed, while it runs; the two deliver together."""
    first = job["first"]
    return first if first is not None and not ended(summary(first)["state"]) else None


def failed_since(job: dict[str, Any]) -> list[int]:
    """The items of the jobs before it that failed after it was submitted to run those that had."""
    first = job["first"]
    if first is None:
        return []
    failed = {*first["failed_items"], *lost_items(first), *failed_since(first)}
    return sorted(failed.difference(job["map"]["only"]))


def lost_items(job: dict[str, Any]) -> list[int]:
    """The items of tasks of a map that ended and left nothing."""
    return [
        item
        for task in job["tasks"]
        if ended(task["state"]) and not delivers(task)
        for item in maps.items_of(job["map"], task["task"])
    ]


def summary(job: dict[str, Any]) -> dict[str, Any]:
    """What clients get to know of a job: plain data, small."""
    tasks = job["tasks"]
    state = job_state(tasks)
    shown = next(task for task in tasks if task["state"] == state)
    reason = shown["reason"]
    if _is_enough(job, tasks):
        state = "done"
    first = beside(job)
    if ended(state) and first is not None:
        state = "running"
        reason = f"Its items have ended. It waits for the others, which job {first['id']} runs."
    elif state == "done" and (failed := failed_since(job)) and not job["map"]["allow_failures"]:
        state = "failed"
        reason = f"Items {maps.shown(failed)} failed meanwhile: %resubmit {job['id']} --failed runs them."
    started = [task["started"] for task in tasks if task["started"]]
    ends = [task["ended"] for task in tasks]
    keys = ("id", "token", "notebook", "label", "execution_count", "names", "backend", "resources",
            "folder", "native", "ganga_id", "created", "submitted", "delivered")  # fmt: skip
    return {
        **{key: job[key] for key in keys},
        "clusters": clusters.names(job["clusters"]),
        "state": state,
        "reason": reason,
        "beside": first and first["id"],
        "host": shown["host"],
        "attempt": shown["attempt"],
        "exit_code": shown["exit_code"],
        "error": shown["error"],
        "result": shown["result"],
        "usage": usage.used(tasks, job["resources"]),
        "limits": limits.standing(job["limits"], job["resources"], tasks),
        "notes": [*shown["notes"], *_rehearsal(job), *retries.sentences(tasks), *_proposal(job, state)],
        "tasks": len(tasks),
        "started": min(started) if started else None,
        "ended": max(ends) if all(ends) else None,
        "items": _items(job, tasks) if job["map"] else None,
        "progress": _items_progress(job, tasks, state) if job["map"] else _progress(shown, state),
    }


def results(job: dict[str, Any]) -> list[dict[str, Any]]:
    """What each task of a map left: its result, or its items and why there is none. In item order.

    With a result comes its last item that counts: the rest was handed on to another task before.
    """
    in_order = sorted(job["tasks"], key=lambda task: job["map"]["chunks"][task["task"]])
    return [
        {"folder": job["folder"], "result": task["result"], "last": items[-1]}
        if delivers(task)
        else {
            "result": None,
            "items": list(items),
            "ename": f"Job{task['state'].capitalize()}",
            "evalue": _why(task),
        }
        for task in in_order
        for items in [maps.items_of(job["map"], task["task"])]
    ]


def _is_enough(job: dict[str, Any], tasks: list[dict[str, Any]]) -> bool:
    """Whether a job whose failures are allowed has ended with something to deliver."""
    allowed = bool(job["map"]) and job["map"]["allow_failures"] and not job["kill_asked"]
    return allowed and all(ended(task["state"]) for task in tasks) and any(map(delivers, tasks))


def _why(task: dict[str, Any]) -> str:
    if task["error"]:
        return f"{task['error']['ename']}: {task['error']['evalue']}"
    return task["reason"] or STATES[task["state"]].sentence


def _items(job: dict[str, Any], tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """The counts of a map's items. Those of a task that left nothing have failed."""
    done = failed = 0
    lost = []
    gone: set[int] = set()
    for task in tasks:
        if ended(task["state"]) and not delivers(task):
            items = maps.items_of(job["map"], task["task"])
            failed += len(items)
            gone.update(items)
            lost.append({"items": maps.shown(list(items)), "state": task["state"], "why": _why(task)})
        else:
            done += task["items_done"]
            failed += task["items_failed"]
    total = maps.total(job["map"])
    failures = [one for one in job["failures"] if one["item"] not in gone]
    return {"total": total, "done": done, "failed": failed, "failures": failures, "lost": lost[:_LOST],
            "of": job["map"]["count"]}  # fmt: skip


def _progress(task: dict[str, Any], state: str) -> dict[str, Any] | None:
    """How far a cell has got, as it tells, and when it will be done; None if it tells nothing now.

    Returns
    -------
    ``done`` and ``total``, None if unknown; ``running``, how many tasks run; ``finish``, unix seconds, None
    if unknown.
    """
    count = task["progress"]
    if count is None or state in ("queued", "done"):
        return None
    runs = state == "running"
    return {"done": count["done"], "total": count["total"], "running": int(runs),
            "finish": eta.of_count(count) if runs else None}  # fmt: skip


def _items_progress(job: dict[str, Any], tasks: list[dict[str, Any]], state: str) -> dict[str, Any] | None:
    """The same of a map's items, while tasks run; those of tasks that left nothing have ended, too."""
    if state != "running":
        return None
    parts, waiting, running, done = [], [], 0, 0
    for task in tasks:
        first, last = job["map"]["chunks"][task["task"]]
        over, runs = ended(task["state"]), task["state"] == "running"
        count = task["items_done"] + task["items_failed"]
        done += last - first if over else count
        running += runs
        if task["started"] is not None and (over or runs):
            at = (task["progress"] or {"at": task["started"]})["at"]
            parts.append(eta.Part(count, last - first - count if runs else 0, task["started"], at))
        elif not over:
            waiting.append(last - first)
    total = maps.total(job["map"])
    return {"done": done, "total": total, "running": running, "finish": eta.of_items(parts, waiting)}


def _rehearsal(job: dict[str, Any]) -> list[str]:
    said = rehearsing.sentence(job)
    return [said] if said else []


def _proposal(job: dict[str, Any], state: str) -> list[str]:
    """What to ask for next time, of a job that is done; nothing on this host, where nothing is reserved."""
    if state != "done" or job["backend"] == "Local":
        return []
    said = usage.proposal(job["tasks"], job["resources"])
    return [said] if said else []
