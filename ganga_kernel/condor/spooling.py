"""``python -m ganga_kernel.condor.spooling``: spooled jobs, whose files are sent to their schedd and fetched.

HTCondor's bindings keep Python's lock while files are on their way, and while they wait for a daemon, and
can't be interrupted; so this is a process of its own (see `spooled`). It reads one request from its standard
input, ``{"do": "submit", "look" or "fetch", "schedd": null, "pool": null, …}`` with what the function of that
name takes, and writes lines of JSON; the last one is the answer, or ``{"error": …}`` (`errors.to_wire`).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ganga_kernel.condor.bindings import load_bindings
from ganga_kernel.condor.eventlog import Observation
from ganga_kernel.condor.schedd import JOB_ADS, Schedd, observation
from ganga_kernel.errors import GangaKernelError, SubmitRefused, sentence, to_wire

#: Of a job's ad: when its output had been fetched, and when it had ended.
_FETCHED, _COMPLETED = "StageOutFinish", "CompletionDate"
#: Of a spooled job's ad: the folder from which it was submitted, where its output goes.
_FROM = "SUBMIT_Iwd"
#: HTCondor's number for a job on hold whose files are on their way to the schedd.
_SPOOLING = 16
_COMING = "Its input files are on their way to the schedd."
_GONE = "It had ended, and the schedd removed its output before that was fetched."
#: Seconds within which a schedd sees that all files have come: it looks once a second.
_SETTLED = 10.0
#: Seconds after which a fetch leaves the rest to the next one, which then knows what has ended meanwhile.
_LONG = 20.0


def submit(schedd: Schedd, description: Mapping[str, str], items: Sequence[Mapping[str, str]]) -> None:
    """Submit a cluster, say ``{"cluster": N}``, and send its files, whose procs are on hold until then.

    It returns when the schedd has seen that they are there, since it would release procs that were put on
    hold before.

    Raises
    ------
    SubmitRefused, ScheddUnreachable: it isn't in the queue, or no more, since its files didn't get there.
    """
    result = schedd.put(description, items, spool=True)
    cluster = int(result.cluster())
    _say({"cluster": cluster})
    try:
        schedd.send_files(result)
    except GangaKernelError as error:
        schedd.remove(str(cluster), "its files could not be sent to the schedd")
        raise SubmitRefused(f"The job's files can't be sent to the schedd: {sentence(error)}") from error
    given_up = time.monotonic() + _SETTLED
    while schedd.waits_for_files(cluster) and time.monotonic() < given_up:
        time.sleep(0.2)


def look(schedd: Schedd, procs: Sequence[str], since: float) -> dict[str, Any]:
    """What queue and history say of procs.

    Parameters
    ----------
    procs: as in "12.0"
    since: a moment before they were submitted, in Unix seconds

    Returns
    -------
    ``seen``, an observation of each as plain data; ``waiting``, those whose output waits at the schedd;
    ``unknown``, those of which neither says anything.

    Raises
    ------
    ScheddUnreachable: the schedd doesn't answer.
    """
    attributes = [*JOB_ADS, _FETCHED, _COMPLETED]
    queued = _named(schedd.query(_constraint(procs), attributes))
    seen = {proc: queued[proc] for proc in procs if proc in queued}
    waiting = [proc for proc, ad in seen.items() if int(ad["JobStatus"]) == _ENDED]
    told = [_in_queue(ad) for proc, ad in seen.items() if proc not in waiting]
    left = [proc for proc in procs if proc not in seen]
    past = _named(schedd.history(_constraint(left, procs=True), attributes, len(left), since)) if left else {}
    told += [_past(past[proc]) for proc in left if proc in past]
    return {
        "seen": [asdict(one) for one in told],
        "waiting": waiting,
        "unknown": [proc for proc in left if proc not in past],
    }


def fetch(schedd: Schedd, procs: Sequence[str]) -> dict[str, Any]:
    """Bring the output of procs that have ended to where they were submitted, and take them out of the queue.

    A proc leaves the queue once its output is on this machine's disk: whatever is killed before that, it is
    fetched again, and whatever is killed after it, it is here.

    Returns
    -------
    ``seen``, how those ended that were fetched, as `look` would tell it.

    Raises
    ------
    ScheddUnreachable: the output of the first doesn't come.
    """
    begun, seen = time.monotonic(), []
    ads = _named(schedd.query(_constraint(procs), [*JOB_ADS, _FROM]))
    for proc in (one for one in procs if one in ads):
        started = time.time()
        schedd.fetch_files(proc)
        _sync(str(ads[proc][_FROM]), started)
        schedd.remove(proc, "its output was fetched")
        seen.append(asdict(observation(ads[proc])))
        if time.monotonic() - begun > _LONG:
            break
    return {"seen": seen}


#: HTCondor's JobStatus of a job that has ended.
_ENDED = 4


def _in_queue(ad: Mapping[str, Any]) -> Observation:
    seen = observation(ad)
    if seen.state == "held" and seen.code == _SPOOLING:
        return replace(seen, state="queued", reason=_COMING, code=None, subcode=None)
    return seen


def _past(ad: Mapping[str, Any]) -> Observation:
    """How a proc ended that is in the queue no more: one that was fetched was removed from it."""
    seen = observation(ad)
    if not int(ad.get(_COMPLETED, 0)):
        return seen
    if _FETCHED in ad:
        return observation({**ad, "JobStatus": _ENDED})
    return replace(seen, state="removed", reason=_GONE)


def _named(ads: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {f"{ad['ClusterId']}.{ad['ProcId']}": ad for ad in ads if "ProcId" in ad}


def _constraint(names: Sequence[str], procs: bool = False) -> str:
    """Which jobs are asked for: those of clusters, which HTCondor finds fast, or the very procs."""
    pairs = [name.split(".") for name in names]
    if procs:
        return " || ".join(f"(ClusterId == {int(c)} && ProcId == {int(p)})" for c, p in pairs)
    return " || ".join(f"ClusterId == {number}" for number in sorted({int(c) for c, _ in pairs}))


def _sync(folder: str, since: float) -> None:
    """Have the disk keep what was written to a folder since a moment."""
    written = [one.path for one in os.scandir(folder) if one.is_file() and one.stat().st_ctime >= since - 2]
    for path in (*written, folder):
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _say(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


def main() -> int:
    """Do what is asked for once. Returns 0, or 1 with an error as the answer."""
    asked = json.load(sys.stdin)
    known: dict[str, Callable[..., Any]] = {"submit": submit, "look": look, "fetch": fetch}
    do = known[asked.pop("do")]
    schedd = Schedd(asked.pop("schedd"), asked.pop("pool"))
    try:
        load_bindings()
        _say(do(schedd, **asked))
    except GangaKernelError as error:
        _say({"error": to_wire(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
