"""The HTCondor clusters of a job, and which of its tasks is which proc. Pure.

A job is one cluster, unless its tasks handed on items: then there are further ones for these. The store has
them as ``[[cluster, first task, the one after its last], …]``, in this order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..condor.schedd import Where

#: Attribute of an HTCondor job that holds the token of ours.
TOKEN = "GangaKernelJob"
#: Attribute of those of a further cluster: token and first task.
FURTHER = "GangaKernelFurther"

Clusters = list[list[int]]


def where(job: dict[str, Any]) -> Where:
    """The schedd that gets a job, or has it. A cluster's number means something only together with it."""
    return job["resources"].get("schedd"), job["resources"].get("pool")


def is_spooled(job: dict[str, Any]) -> bool:
    """Whether a job's files are spooled to its schedd."""
    return job["backend"] == "HTCondor" and bool(job["resources"].get("spool"))


def names(clusters: Clusters) -> list[str]:
    """The clusters as HTCondor's tools name them."""
    return [str(cluster) for cluster, _, _ in clusters]


def proc_of(clusters: Clusters, task: int) -> str | None:
    """The proc of a task as HTCondor's tools name it; None while HTCondor doesn't have it."""
    return next((f"{name}.{task - first}" for name, first, end in clusters if first <= task < end), None)


def task_of(clusters: Clusters, cluster: int, proc: int) -> int | None:
    """The task of a proc; None if no cluster of the job has it."""
    return next((first + proc for name, first, _ in clusters if name == cluster), None)


def sent(clusters: Clusters) -> int:
    """How many of the job's tasks HTCondor has."""
    return clusters[-1][2] if clusters else 0


def of_tasks(clusters: Clusters, cluster: int) -> range:
    """The tasks of a cluster."""
    return next(range(first, end) for name, first, end in clusters if name == cluster)


def unsent(job: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """The tasks that a job has in HTCondor's hands doesn't have there yet."""
    return (task for task in job["tasks"][sent(job["clusters"]) :] if not task["backend_ended"])
