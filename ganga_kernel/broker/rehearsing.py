"""``--rehearse``: the first task of a map runs alone, and tells what the others are asked for with. Pure.

The others are HTCondor's once it has ended well; see `jobs.Jobs`.
"""

from __future__ import annotations

from typing import Any

from .. import maps
from ..options import spell_size
from ..panel import span
from ..states import ended
from . import usage
from .progress import delivers


def is_on(job: dict[str, Any]) -> bool:
    """Whether a job's first task runs alone first."""
    return bool(job["map"]) and bool(job["map"]["rehearse"]) and len(job["tasks"]) > 1


def waits(job: dict[str, Any]) -> bool:
    """Whether the others wait for the first task."""
    return is_on(job) and not ended(job["tasks"][0]["state"])


def failed(job: dict[str, Any]) -> bool:
    """Whether the first task has ended so that the others had better not run."""
    first = job["tasks"][0]
    good = first["state"] == "done" or (job["map"]["allow_failures"] and delivers(first))
    return is_on(job) and ended(first["state"]) and not good


def learnt(job: dict[str, Any]) -> dict[str, Any]:
    """What the others are asked for with, besides what the user said."""
    used = job["tasks"][0]["usage"]
    return {"memory": usage.enough(used["memory"])} if used and "memory" not in job["resources"] else {}


def sentence(job: dict[str, Any]) -> str:
    """What a job's panel says of it; empty if there is nothing to say."""
    if not is_on(job):
        return ""
    first = maps.shown(list(maps.items_of(job["map"], 0)))
    one = "Item" if first.isdigit() else "Items"
    if waits(job):
        return f"{one} {first} first, alone (--rehearse): the others go out when that has ended well."
    if failed(job):
        return f"{one} {first} did not end well, so the others were not submitted."
    used, memory = job["tasks"][0]["usage"], job["resources"].get("memory")
    if not used:
        return ""
    asked = f" The others were asked for with {spell_size(memory, ' ')}." if memory else ""
    return (
        f"{one} {first}, alone first, took {span(used['wall'])} and {spell_size(used['memory'], ' ')} "
        f"of memory.{asked}"
    )
