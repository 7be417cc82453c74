"""What it means that HTCondor sent a job back, lost sight of it or removed it, in plain words. Pure."""

from __future__ import annotations

import re

_EVICTED = "It was sent back to the queue from the machine on which it ran, and starts anew."
_PREEMPTED = (
    "It was sent back to the queue, since its machine is for a job with a better claim to it; it starts anew."
)
_VACATED = (
    "It was sent back to the queue with condor_vacate_job, by you or whoever runs the pool; it starts anew."
)
_UNREACHED = (
    "Its machine could not be reached any more for so long that HTCondor gave it up there; it starts anew."
)
_DISCONNECTED = (
    "Its machine can't be reached at the moment. It may go on there: HTCondor waits for it for a time "
    "(by default 40 minutes), and else starts it anew."
)
#: Of spooled jobs; they are our own words.
NOT_FETCHED = "It had ended, and its output left the schedd before it was fetched. Run the cell again."
FORGOTTEN = "The schedd knows nothing of it any more, and its output was not fetched. Run the cell again."
_REMOVED = "HTCondor removed it from its queue."
_BY_HAND = "Somebody removed it from HTCondor's queue with condor_rm."
_OWN_RULE = "A condition of the job's own, {rule}, came true and removed it from HTCondor's queue."
_POOL_RULE = (
    "A rule of the pool, {rule}, removed it from HTCondor's queue. Ask whoever runs the pool what it is for."
)
_POLICY = re.compile(r"The (?P<whose>system macro|job attribute) (?P<rule>\w+) expression '")


def explain(state: str, said: str) -> str:
    """What an evicted, disconnected or removed job is told with, with HTCondor's own words at the end.

    Parameters
    ----------
    state: one of `eventlog.STATES`; for any other than these three it is what HTCondor said
    said: HTCondor's reason
    """
    if state not in ("evicted", "disconnected", "removed") or said in (NOT_FETCHED, FORGOTTEN):
        return said
    told = {"evicted": _evicted, "disconnected": lambda _: _DISCONNECTED, "removed": _removed}[state](said)
    words = f" HTCondor says: {said.rstrip('.')}." if said else ""
    return told + words


def _evicted(said: str) -> str:
    if "vacated" in said:
        return _VACATED
    if "preempt" in said.casefold():
        return _PREEMPTED
    return _UNREACHED if "reconnect" in said.casefold() else _EVICTED


def _removed(said: str) -> str:
    policy = _POLICY.match(said)
    if policy:
        sentence = _POOL_RULE if policy["whose"] == "system macro" else _OWN_RULE
        return sentence.format(rule=policy["rule"])
    return _BY_HAND if said.startswith("via condor_rm") else _REMOVED
