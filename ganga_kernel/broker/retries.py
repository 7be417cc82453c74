"""Tasks that run again by themselves: after a crash, and with more memory after a hold for it. Pure.

HTCondor itself runs a task again that crashed (`on_exit_remove`): that needs no broker, and is only told of.
A task on hold for its memory is released by the broker, with more of it: what is decided here is stored
with the hold, and done then, by the next broker if need be.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..options import spell_size
from .progress import lost
from .watch import Observation

#: How often a task gets more memory if ``--retries`` doesn't say.
_TIMES = 2


def on_observation(
    task: dict[str, Any], seen: Observation, resources: dict[str, Any], kill_asked: bool
) -> dict[str, Any]:
    """The columns that a backend's word changes besides those of `progress.on_observation`.

    ``again`` gets another entry: ``cause``, "crash" or "memory"; ``said``, a sentence; of the latter
    also ``memory``, the bytes that the task is to have, and ``due``, whether that has yet to be done.
    """
    if is_again(seen):
        attempt = _attempt(task)
        said = (
            f"Attempt {attempt + 1}, since attempt {attempt} ended without a word from the cell. "
            f"{lost(task, seen)}"
        )
        return {"again": [*task["again"], {"cause": "crash", "said": said}]}
    told = task["state"] == "held" and task["since"] == seen.time
    if seen.state == "held" and seen.for_memory and not kill_asked and not told:
        entry = _with_more_memory(task, resources)
        return {"again": [*task["again"], entry]} if entry else {}
    return {}


def is_again(seen: Observation) -> bool:
    """Whether a task ended, and HTCondor runs it again."""
    return seen.state == "queued" and seen.exit_code is not None


def _with_more_memory(task: dict[str, Any], resources: dict[str, Any]) -> dict[str, Any] | None:
    """What is to be done for a task that had too little memory; None if nothing."""
    before = [entry for entry in task["again"] if entry["cause"] == "memory"]
    if "retry_memory" not in resources or len(before) >= resources.get("retries", _TIMES):
        return None
    had = memory_of(task, resources)
    memory = int(had * resources["retry_memory"])
    said = (
        f"Attempt {_attempt(task) + 1} with {spell_size(memory)}, after it used more memory than "
        f"{spell_size(had)}."
    )
    return {"cause": "memory", "said": said, "memory": memory, "due": True}


def memory_of(task: dict[str, Any], resources: dict[str, Any]) -> int:
    """Bytes of memory that are asked for a task now; 0 if none were."""
    given = [entry["memory"] for entry in task["again"] if entry["cause"] == "memory"]
    return int(max([resources.get("memory", 0), *given]))


def most_memory(tasks: Iterable[dict[str, Any]], resources: dict[str, Any]) -> int:
    """The most that `memory_of` says of a task."""
    return max(
        (memory_of(task, resources) for task in tasks if task["again"]), default=resources.get("memory", 0)
    )


def due(task: dict[str, Any]) -> bool:
    """Whether a task is to be released with more memory."""
    return bool(task["again"]) and bool(task["again"][-1].get("due"))


def settled(task: dict[str, Any]) -> dict[str, Any]:
    """The columns of a task for which that was done, or can't be."""
    *before, last = task["again"]
    return {"again": [*before, {**last, "due": False}]}


def sentences(tasks: list[dict[str, Any]]) -> list[str]:
    """What a job's panel says of this."""
    if len(tasks) == 1:
        return [entry["said"] for entry in tasks[0]["again"][-1:]]
    return [
        f"{count} of its tasks {'was' if count == 1 else 'were'} run again {why}."
        for cause, why in (("crash", "after a crash"), ("memory", "with more memory"))
        if (count := _count(tasks, cause))
    ]


def _count(tasks: Iterable[dict[str, Any]], cause: str) -> int:
    return sum(any(entry["cause"] == cause for entry in again) for task in tasks if (again := task["again"]))


def _attempt(task: dict[str, Any]) -> int:
    return max(1, int(task["attempt"]))
