"""``python -m ganga_kernel.condor.slots``: how many tasks of a job the pool's slots can run side by side.

In a process of its own, see `whyidle`. It reads what is asked for a task from its standard input,
``{"pool": null, "requirements": "…", "Cpus": 1, "Memory": 2048, …}`` in HTCondor's names and units, with the
collector's address or null for the configured one, and writes a number.
Slots count as a whole, whoever uses them now. A condition that looks at the job, which isn't there yet,
counts as not fulfilled.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from ..errors import GangaKernelError
from . import collector
from .bindings import load_bindings


def matching(asked: Mapping[str, Any]) -> int:
    """How many tasks fit into the pool's slots at a time. It asks the collector once.

    Raises
    ------
    ScheddUnreachable: the collector doesn't answer.
    """
    resources = {name: int(asked[name]) for name in asked if name not in ("pool", "requirements")}
    attributes = {"SlotType", *resources, *(f"TotalSlot{name}" for name in resources)}
    conditions = [collector.UNDIVIDED, *filter(None, [asked["requirements"]])]
    constraint = " && ".join(f"({one})" for one in conditions)
    slots = collector.query(load_bindings().AdType.Slot, constraint, attributes, asked["pool"])
    return sum(fits(slot, resources) for slot in slots)


def fits(slot: Mapping[str, Any], resources: Mapping[str, int]) -> int:
    """How many tasks with these resources a slot takes at a time. Pure.

    Parameters
    ----------
    slot: its ad
    resources: what a task asks for, by the attribute of a slot
    """
    times = [int(slot.get(f"TotalSlot{name}", slot.get(name, 0))) // n for name, n in resources.items() if n]
    most = min(times, default=1)
    return most if slot.get("SlotType") == "Partitionable" else min(most, 1)


def main() -> int:
    """Answer one question. Returns 0, or 1 with a sentence on standard error."""
    try:
        found = matching(json.load(sys.stdin))
    except GangaKernelError as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
