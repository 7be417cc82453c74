"""Slurm, as far as Ganga doesn't see it: what a job asks for, and why it waits or ended. Pure.

Ganga submits and kills. Its monitoring reads what its own script writes on the worker, so it knows nothing of
a job that Slurm ended, or has not begun.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..errors import BackendError
from .watch import Observation

#: The fields of ``squeue`` that are read, and how they are asked for (squeue(1)).
QUERY = ("squeue", "--me", "--states=all", "--noheader", "--format=%i|%T|%r|%N|%k|%o")
#: What a job can be asked for, and sbatch's option for it.
_OPTIONS = {"memory": "mem", "cpus": "cpus-per-task", "gpus": "gpus", "runtime": "time", "group": "account"}
#: What can be asked for besides.
POSSIBLE = frozenset({*_OPTIONS, "set", "python", "setup"})

_WAITS = {
    "PENDING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "SPECIAL_EXIT",
    "RESV_DEL_HOLD",
}
_RUNS = {"RUNNING", "COMPLETING", "STAGE_OUT", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING"}
#: Why a job waits, in Slurm's word -> a sentence (squeue(1), "JOB REASON CODES").
_REASONS = {
    "Resources": "It waits until what it asks for is free.",
    "Priority": "Jobs of a higher priority come before it.",
    "Dependency": "It waits for another job of Slurm's.",
    "BeginTime": "Its time to begin has not come.",
    "PartitionDown": "Its partition is down.",
    "PartitionConfig": "No node of its partition has what it asks for: %kill it, and ask for less, or for "
    "another partition (--set partition=…).",
    "PartitionTimeLimit": "It asks for more time than its partition allows: %kill it, and give a shorter "
    "--runtime.",
    "PartitionNodeLimit": "It asks for more nodes than its partition has.",
    "ReqNodeNotAvail": "A node that it needs isn't available.",
    "AssocGrpCpuLimit": "The account's limit of cores is reached.",
    "QOSMaxCpuPerUserLimit": "Your limit of cores is reached.",
    "QOSMaxJobsPerUserLimit": "Your limit of running jobs is reached.",
}
#: How a job ended, in Slurm's word -> a sentence.
_ENDS = {
    "CANCELLED": "It was cancelled (scancel).",
    "TIMEOUT": "It ran longer than it was given: %resubmit it with a longer --runtime.",
    "OUT_OF_MEMORY": "It used more memory than it was given: %resubmit it with more --memory.",
    "NODE_FAIL": "Its node failed.",
    "PREEMPTED": "A job of a higher priority took its place.",
    "DEADLINE": "Its deadline came before its end.",
    "BOOT_FAIL": "Its node did not start.",
    "FAILED": "Its process failed.",
}
_GONE = "Slurm doesn't know it any more, and not how it ended."
_NEVER = "The broker died while it was submitted, and Slurm doesn't have it."
#: Options of sbatch on which Ganga or the broker relies, or that would run a task more than once.
_RESERVED = {"comment", "job-name", "output", "error", "input", "array", "chdir", "wait", "wrap", "parsable"}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def options(job: Mapping[str, Any]) -> str:
    """The options of ``sbatch`` for a job of the store, as Ganga puts them into a shell's line.

    The job's token is its comment, by which it is found after a crash.

    Raises
    ------
    BackendError: something can't be an option.
    """
    asked = job["resources"]
    said = {_OPTIONS[name]: _spelled(name, value) for name, value in asked.items() if name in _OPTIONS}
    for name, value in asked.get("set", ()):
        option = name.replace("_", "-")
        if not _NAME.fullmatch(name):
            raise BackendError(
                f"--set {name}=… is no option of sbatch.", "Write, for example, --set partition=long."
            )
        if option in _RESERVED:
            raise BackendError(f"--set {name}=… can't be given: the kernel relies on it.", "Leave it out.")
        said[option] = str(value)
    # As -J, or Ganga would add the name that the job has there.
    called = _quoted(f"ganga-kernel-{job['id']}")
    said["comment"] = job["token"]
    return " ".join([f"-J {called}", *(f"--{name}={_quoted(value)}" for name, value in said.items())])


def _spelled(name: str, value: Any) -> str:
    if name == "memory":
        return f"{-(-value // 2**20)}M"
    if name == "runtime":
        return f"{value // 60}:{value % 60:02}"
    return str(value)


def _quoted(value: str) -> str:
    """For the shell; Ganga takes a dash before a letter for an option, also within quotes (Batch.py:172)."""
    return "'-'".join(shlex.quote(part) if part else "" for part in value.split("-"))


class Row(NamedTuple):
    """What ``squeue`` says of a job, in the order of `QUERY`.

    Attributes
    ----------
    state, reason: Slurm's words
    host: where it runs; empty if it doesn't
    comment: the token of the job, if it is one of ours
    command: the script that it runs
    """

    id: str
    state: str
    reason: str
    host: str
    comment: str
    command: str


def rows(text: str) -> dict[str, Row]:
    """What ``squeue`` printed for `QUERY`, by job id."""
    lines = (line.split("|", 5) for line in text.splitlines())
    return {fields[0]: Row(*fields) for fields in lines if len(fields) == 6}


def observations(ids: Mapping[int, str], queue: Mapping[str, Row], now: float) -> Iterable[Observation]:
    """What Slurm says of tasks.

    Parameters
    ----------
    ids: Slurm's numbers of the tasks that have not ended
    now: when it said so, in Unix seconds
    """
    for task, number in ids.items():
        row = queue.get(number)
        if row is None:
            yield Observation(task, "ended", now, reason=_GONE if number else _NEVER)
        elif row.state in _WAITS:
            held = row.reason.startswith("JobHeld")
            yield Observation(task, "held" if held else "queued", now, reason=_why(row.reason))
        elif row.state in _RUNS:
            yield Observation(task, "running", now, host=row.host)
        elif row.state == "COMPLETED":
            yield Observation(task, "ended", now, host=row.host, exit_code=0)
        else:
            yield Observation(task, "ended", now, host=row.host, reason=_ENDS.get(row.state, row.state))


def _why(reason: str) -> str:
    if reason in ("None", ""):
        return ""
    if reason.startswith("JobHeld"):
        whose = "an administrator" if reason == "JobHeldAdmin" else "its owner"
        return f"It was put on hold by {whose}: scontrol release lets it go on."
    return _REASONS.get(reason, f"Slurm says: {reason}.")
