"""``python -m ganga_kernel.condor.whyidle``: asks HTCondor why jobs wait, in a process of its own.

HTCondor's bindings keep Python's lock while they wait for a daemon, also for one that hangs, and can't be
interrupted: whoever must not wait starts this process, and ends it if it takes too long.

It reads ``{"schedd": null, "pool": null, "procs": {"5.0": 7, …}}`` from its standard input: which schedd (see
`schedd.Schedd`), and for a proc of its queue our number of the job. It writes ``{"7": "…", …}``, a sentence
for each that is still idle.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import GangaKernelError
from . import collector
from .bindings import load_bindings
from .schedd import Schedd

#: What a slot's conditions need in a usual pool, beside what is always read.
_USUAL = ("Arch", "OpSys", "CondorVersion", "HasFileTransfer")


def why_idle(procs: Mapping[str, int], schedd: Schedd) -> dict[int, str]:
    """Why jobs wait in a schedd, by our number. Jobs that are not idle (any more) are left out.

    It asks the schedd once, and the collector once for its slots, those split off partitionable ones left
    out; a second time if these have rules of a pool's own, for the attributes that these need; and once each
    for the few small ads of negotiator, schedd and accounting. Jobs that HTCondor takes for equal are looked
    at once.

    Raises
    ------
    ScheddUnreachable: a daemon doesn't answer.
    """
    htcondor2 = load_bindings()
    from . import idle

    jobs = schedd.ads(f"JobStatus == 1 && ({_any_of(procs)})")
    if not jobs:
        return {}
    kinds = htcondor2.AdType
    attributes = {*idle.SLOT_ATTRIBUTES, *_USUAL}.union(*(idle.wanted(job) for job in jobs))
    ads = collector.query(kinds.Slot, collector.UNDIVIDED, attributes, schedd.pool)
    rules = attributes.union(*(idle.own_terms(ad) for ad in ads))
    if rules != attributes:
        ads = collector.query(kinds.Slot, collector.UNDIVIDED, rules, schedd.pool)
    slots = [idle.slot_of(ad) for ad in ads]
    pool = idle.Pool(
        _first(collector.query(kinds.Negotiator, None, idle.POOL_ATTRIBUTES, schedd.pool)),
        _first(
            collector.query(kinds.Schedd, _named([schedd.full_name()]), idle.POOL_ATTRIBUTES, schedd.pool)
        ),
        collector.query(
            kinds.Accounting,
            _named(set().union(*map(idle.accounts, jobs))),
            idle.POOL_ATTRIBUTES,
            schedd.pool,
        ),
    )
    known: dict[Any, idle.Reason] = {}
    said = {}
    for job in jobs:
        alike = idle.alike(job)
        if alike not in known:
            known[alike] = idle.why_idle(job, slots, pool)
        number = procs[f"{job['ClusterId']}.{job['ProcId']}"]
        said[number] = known[alike].told(number)
    return said


def main() -> int:
    """Answer one question. Returns 0, or 1 with a sentence on standard error."""
    try:
        asked = json.load(sys.stdin)
        said = why_idle(asked["procs"], Schedd(asked["schedd"], asked["pool"]))
    except GangaKernelError as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(said, sys.stdout)
    return 0


def _first(ads: list[Any]) -> Any:
    from classad2 import ClassAd

    return ads[0] if ads else ClassAd()


def _named(names: Iterable[str]) -> str:
    return " || ".join(f"Name == {json.dumps(name)}" for name in sorted(names)) or "false"


def _any_of(procs: Iterable[str]) -> str:
    pairs = (proc.split(".") for proc in procs)
    return " || ".join(f"(ClusterId == {int(cluster)} && ProcId == {int(proc)})" for cluster, proc in pairs)


if __name__ == "__main__":
    sys.exit(main())
