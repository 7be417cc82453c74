"""From what payload and backend say to a task's new columns in the store. Pure.

What is true when they disagree: a result counts when its file is whole; a task has ended when the backend
says so; an end without the payload's last event is a lost task, with a sentence.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from ..states import ended
from . import eta
from .watch import Observation

Changes = dict[str, Any]


def on_event(task: dict[str, Any], event: dict[str, Any], result_size: Callable[[str], int]) -> Changes:
    """The columns that an event of the payload changes.

    Parameters
    ----------
    result_size: bytes of a result file of the job, 0 while it isn't there
    """
    if ended(task["state"]):
        return {}
    if event["event"] == "start":
        return {
            "state": "running", "attempt": event["attempt"], "host": event.get("host", ""),
            "started": event["time"], "notes": event.get("notes", []),
            "reason": "", "error": None, "frames": [], "result": None, "items_done": 0, "items_failed": 0,
            "progress": None,
        }  # fmt: skip
    if event["event"] == "item":
        counter = "items_done" if event["status"] == "ok" else "items_failed"
        return {counter: task[counter] + 1, "progress": {"at": event["time"]}}
    if event["event"] == "progress":
        told = event["done"], event["total"], event["time"]
        return {"progress": eta.counted(task["progress"], *told)}
    if event["event"] != "end":
        return {}
    changes: Changes = {"usage": event.get("usage")}
    if event["status"] == "terminated":  # killed, or vacated and soon started anew: the backend tells
        return {**changes, "error": event["error"]}
    changes |= {"error": event.get("error"), "frames": event.get("frames", [])}
    if event["status"] == "broken":  # what runs the cell could not do its work, and says why
        return {**changes, "state": "broken", "reason": event["error"]["evalue"], "ended": event["time"]}
    if event["result"] is None:
        return {**changes, "state": "failed", "ended": event["time"]}
    changes["result"] = {**event["result"], "ended": event["time"]}
    if arrived(changes["result"], result_size):
        changes |= whole({**task, **changes})
    return changes


def unstarted(state: str, reason: str, now: float) -> Changes:
    """The columns of a task that ends before its backend has it."""
    return {"state": state, "reason": reason, "ended": now, "backend_ended": 1}


def whole(task: dict[str, Any]) -> Changes:
    """The columns that the arrival of its result changes. A task with failed items delivers the others."""
    return {"state": "failed" if task["error"] else "done", "ended": task["result"]["ended"]}


def delivers(task: dict[str, Any]) -> bool:
    """Whether a task has ended and its result is here."""
    return task["result"] is not None and task["state"] in ("done", "failed")


def arrived(result: dict[str, Any] | None, result_size: Callable[[str], int]) -> bool:
    """Whether a result's file is whole, and the archive of the files that the cell wrote, if there is one."""
    if result is None:
        return False
    parts = [result, *filter(None, [result.get("files")])]
    return all(result_size(part["file"]) == part["size"] for part in parts)


def on_observation(
    task: dict[str, Any], seen: Observation, kill_asked: bool, result_size: Callable[[str], int]
) -> Changes:
    """The columns that a backend's word changes. The payload's stream was read to its end before."""
    if seen.state != "ended":
        if ended(task["state"]) or (seen.state, seen.reason) == (task["state"], task["reason"]):
            return {}
        changes: Changes = {"state": seen.state, "reason": seen.reason, "since": seen.time}
        if seen.host and not task["host"]:
            changes["host"] = seen.host
        return changes
    changes = {"backend_ended": 1, "exit_code": seen.exit_code}
    if ended(task["state"]):
        return changes
    changes["ended"] = seen.time
    if arrived(task["result"], result_size):
        return {**changes, **whole(task)}
    if kill_asked:
        reason = "This task was killed on request." if task["kill_asked"] else ""
        return {**changes, "state": "killed", "reason": reason, "error": None}
    # A payload that was terminated can only guess why.
    error = {"error": None} if seen.reason and (task["error"] or {}).get("ename") == "Terminated" else {}
    return {**changes, **error, "state": "lost", "reason": lost(task, seen)}


def lost(task: dict[str, Any], seen: Observation) -> str:
    """Why a task ended without a word from the cell."""
    code = seen.exit_code
    if task["result"] is not None:
        return "The cell ended, but its result didn't come back."
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hints = {
            "SIGSEGV": "The program crashed (SIGSEGV), probably in a compiled library.",
            "SIGKILL": "It was killed (SIGKILL), often for using more memory than it was given.",
        }
        return " ".join(filter(None, (hints.get(name, f"It was ended by {name}."), seen.reason)))
    if code:
        return " ".join(filter(None, (f"Its process ended with exit code {code}.", seen.reason)))
    return seen.reason or "Its process ended without a word."
