"""What a job's tasks used, against what was asked for: figures over its tasks, and a proposal. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..options import spell_size
from . import retries

#: A proposal leaves this much room above the most that was used, and is worth making below that part of
#: what was asked for.
_ROOM, _WORTH = 1.25, 0.6
#: Bytes below which none is made: Python itself needs some.
_LEAST = 200 * 2**20
#: Steps of what is proposed, and up to how many bytes they are fine enough.
_STEPS = ((100 * 2**20, 900 * 2**20), (2**29, 2**33))
#: Seconds that a task must have run, for its use of cores to tell something.
_LONG = 60.0


def used(tasks: list[dict[str, Any]], resources: dict[str, Any]) -> dict[str, Any] | None:
    """What the tasks used together; None before the first one has told.

    Returns
    -------
    ``wall`` and ``cpu``, seconds added up; ``memory`` and ``disk``, the most of a task in bytes, None if it
    isn't known; ``efficiency``: CPU time as a part of what the cores that were asked for could have given;
    ``cpus`` and ``memory_asked``: what was asked for a task, None if nothing was.
    """
    told = [task["usage"] for task in tasks if task["usage"]]
    if not told:
        return None
    wall, cpu = (sum(one[key] for one in told) for key in ("wall", "cpu"))
    asked = retries.most_memory(tasks, resources)
    return {
        "wall": wall,
        "cpu": cpu,
        "memory": max(one["memory"] for one in told),
        "disk": max((one["disk"] for one in told if one.get("disk") is not None), default=None),
        "efficiency": _efficiency(cpu, wall, resources),
        "cpus": resources.get("cpus"),
        "memory_asked": asked or None,
    }


def figures(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The median, the 95th percentile and the most over a job's tasks, for each thing that is known.

    Parameters
    ----------
    job: its row in the store, with its tasks

    Returns
    -------
    For each: ``what``; ``unit``, "bytes", "seconds" or "part"; ``of``, how many tasks told; ``median``,
    ``high`` and ``most``; ``asked``, None if nothing was asked for.
    """
    tasks, resources = job["tasks"], job["resources"]
    told = [task["usage"] for task in tasks if task["usage"]]
    begun = [task for task in tasks if task["started"]]
    sent = job["submitted"] or job["created"]
    memory = retries.most_memory(tasks, resources) or None
    known = [
        ("memory", "bytes", (one["memory"] for one in told), memory),
        ("disk", "bytes", (one.get("disk") for one in told), resources.get("disk")),
        ("CPU efficiency", "part", (_efficiency(one["cpu"], one["wall"], resources) for one in told), None),
        ("queued", "seconds", (max(0.0, task["started"] - sent) for task in begun), None),
        ("run", "seconds", (task["ended"] - task["started"] for task in begun if task["ended"]),
         resources.get("runtime")),
    ]  # fmt: skip
    return [
        {"what": what, "unit": unit, "of": len(values), **_spread(values), "asked": asked}
        for what, unit, given, asked in known
        if (values := sorted(value for value in given if value is not None))
    ]


def proposal(tasks: Iterable[dict[str, Any]], resources: dict[str, Any]) -> str:
    """What to ask for next time, in a sentence; empty if what was asked for fits."""
    told = [task["usage"] for task in tasks if task["usage"]]
    if not told:
        return ""
    most, options = [], []
    for name in ("memory", "disk"):
        use = max((one[name] for one in told if one.get(name) is not None), default=None)
        asked = resources.get(name)
        if use is None or asked is None:
            continue
        if name == "memory" and use > asked:
            return (
                f"It used {spell_size(use, ' ')} of memory, more than the {spell_size(asked, ' ')} that were "
                f"asked for: --memory {spell_size(enough(use))} is safer."
            )
        if enough(use) <= _WORTH * asked:
            most.append(f"{spell_size(use, ' ')} of {spell_size(asked, ' ')} of {name}")
            options.append(f"--{name} {spell_size(enough(use))}")
    cores, asked = _cores(told), resources.get("cpus", 1)
    if cores is not None and math.ceil(cores * 1.1) <= _WORTH * asked:
        most.append(f"{cores:.1f} of {asked} cores")
        options.append(f"--cpus {max(1, math.ceil(cores * 1.1))}")
    return f"It used at most {' and '.join(most)}: {' '.join(options)} would do." if most else ""


def enough(use: float) -> int:
    """Bytes to ask for where `use` bytes were used: some more, and a round number."""
    wanted = max(_LEAST, use * _ROOM)
    step = next((step for step, below in _STEPS if wanted <= below), 2**30)
    return math.ceil(wanted / step) * step


def _cores(told: list[dict[str, Any]]) -> float | None:
    """The most cores that a task kept busy; None if none ran for long enough to tell."""
    return max((one["cpu"] / one["wall"] for one in told if one["wall"] >= _LONG), default=None)


def _efficiency(cpu: float, wall: float, resources: dict[str, Any]) -> float | None:
    return cpu / (wall * resources.get("cpus", 1)) if wall > 0 else None


def _spread(values: list[float]) -> dict[str, float]:
    """Of sorted values, by the nearest rank."""
    at = {"median": 0.5, "high": 0.95, "most": 1.0}
    return {name: values[math.ceil(part * len(values)) - 1] for name, part in at.items()}
