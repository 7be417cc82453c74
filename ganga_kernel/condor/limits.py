"""What a site allows a job in HTCondor, and what of that it has used. Pure.

A pool doesn't tell such limits: the sites do, in their documentation. See `ganga_kernel.sites`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ganga_kernel.submitcommands import Command


def standing(
    allowed: Mapping[str, Any], resources: Mapping[str, Any], tasks: Iterable[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The limits that apply to a job as it is now, and how it stands; of many tasks the one that is nearest.

    Parameters
    ----------
    allowed: what `Site.known` says; empty for no limits
    resources: what the job asks for, as `options.Options.resources` has it
    tasks: the job's, as stored

    Returns
    -------
    By kind of limit, those that concern a task now. ``runtime``: ``most`` seconds, ``since`` when the task
    runs, and ``why``, what the limit comes from. ``held``: ``most`` seconds, ``since`` when it is on hold.
    ``restarts``: ``most``, and ``count``, how many it has had.
    """
    tasks = list(tasks)
    found: dict[str, dict[str, Any]] = {}
    runs = [task["started"] for task in tasks if task["state"] == "running" and task["started"]]
    if runs and (limit := runtime(allowed, resources)):
        found["runtime"] = {"since": min(runs), "most": limit[0], "why": limit[1]}
    held = [task["since"] for task in tasks if task["state"] == "held" and task["since"]]
    if held and allowed.get("held"):
        found["held"] = {"since": min(held), "most": allowed["held"]}
    starts = [task["attempt"] for task in tasks if task["state"] in ("queued", "running", "held")]
    if allowed.get("restarts") and max(starts, default=0) > 1:
        found["restarts"] = {"count": max(starts) - 1, "most": allowed["restarts"]}
    return found


def runtime(allowed: Mapping[str, Any], resources: Mapping[str, Any]) -> tuple[int, str] | None:
    """The shortest time that a run may take, and what limits it; None if nothing does."""
    found = []
    if "runtime" in resources:
        found.append((int(resources["runtime"]), "--runtime"))
    flavours = allowed.get("flavours")
    if flavours:
        asked = {(one := Command(*command)).attribute: one.value for command in resources.get("set", ())}
        flavour = asked.get("my.jobflavour", "").strip('"')
        if flavour not in flavours:
            flavour = allowed["flavour"]
        most, why = flavours[flavour], f"JobFlavour {flavour}"
        if "my.maxruntime" in asked:  # an expression is the schedd's to evaluate: no number is known of it
            said = asked["my.maxruntime"]
            most, why = int(said) if said.isdecimal() else 0, "MaxRuntime"
        found += [(most, why)] if most else []
    return min(found, default=None)
