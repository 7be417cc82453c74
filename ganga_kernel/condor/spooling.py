"""``python -m ganga_kernel.condor.spooling``: spooled jobs, whose files are sent to their schedd and fetched.

HTCondor's bindings keep Python's lock while files are on their way, and while they wait for a daemon, and
can't be interrupted; so this is a process of its own (see `spooled`). It reads one request from its standard
input, ``{"do": "submit", "look" or "fetch", "schedd": null, "pool": null, …}`` with what the function of that
name takes, and writes lines of JSON; the last one is the answer, or ``{"error": …}`` (`errors.to_wire`).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ganga_kernel.condor.eventlog import Observation
from ganga_kernel.condor.interruptions import NOT_FETCHED
from ganga_kernel.condor.schedd import JOB_ADS, Schedd, observation
from ganga_kernel.errors import (
    BackendError,
    GangaKernelError,
    ScheddUnreachable,
    SubmitRefused,
    sentence,
    to_wire,
)

#: Of a job's ad: when it had ended, when its output had been sent, and the folder to which that goes.
_COMPLETED, _FETCHED, _FROM = "CompletionDate", "StageOutFinish", "SUBMIT_Iwd"
#: HTCondor's JobStatus of a job that has ended.
_ENDED = 4
#: HTCondor's number for a job on hold whose files are on their way to the schedd.
_SPOOLING = 16
_COMING = "Its input files are on their way to the schedd."
_NOT_SENT = "its files could not be sent to the schedd"
_NOT_WRITTEN = "It has ended, and its output at the schedd can't be fetched: {}"
_AGAIN = "It is tried again, and nothing is lost; see whether the disk of the spool has room."
#: Seconds by which the schedd's clock may be behind this one.
_SKEW = 3600
#: Seconds within which a schedd sees that all files have come: it looks once a second.
_SETTLED = 10.0
#: Seconds after which a fetch leaves the rest to the next one, which then knows what has ended meanwhile.
_LONG = 20.0
#: Ranges of procs that the history is asked for at once: it takes them as one argument of a command.
_RANGES = 500


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
        with contextlib.suppress(ScheddUnreachable):  # then whoever looks for it next removes it
            schedd.remove(str(cluster), _NOT_SENT)
        raise SubmitRefused(f"The job's files can't be sent to the schedd: {sentence(error)}") from error
    given_up = time.monotonic() + _SETTLED
    with contextlib.suppress(ScheddUnreachable):  # all is there, whether it says so now or not
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
    ``unknown``, those of which neither says anything; ``left``, those of which the history can't be asked,
    and ``error``, why, or None.

    Raises
    ------
    ScheddUnreachable: the schedd doesn't answer.
    """
    attributes = [*JOB_ADS, _FETCHED, _COMPLETED]
    queued = _named(schedd.query(_of_clusters(procs), attributes))
    seen = {proc: queued[proc] for proc in procs if proc in queued}
    waiting = [proc for proc, ad in seen.items() if int(ad["JobStatus"]) == _ENDED]
    told = [_in_queue(ad) for proc, ad in seen.items() if proc not in waiting]
    gone = [proc for proc in procs if proc not in seen]
    answer: dict[str, Any] = {"waiting": waiting, "unknown": [], "left": [], "error": None}
    try:
        past: dict[str, Mapping[str, Any]] = {}
        for constraint in _of_procs(gone):
            past |= _named(schedd.history(constraint, attributes, len(gone), since - _SKEW))
        told += [_past(past[proc]) for proc in gone if proc in past]
        answer["unknown"] = [proc for proc in gone if proc not in past]
    except GangaKernelError as error:
        answer |= {"left": gone, "error": to_wire(error)}
    return {**answer, "seen": [asdict(one) for one in told]}


def fetch(schedd: Schedd, procs: Sequence[str]) -> dict[str, Any]:
    """Bring the output of procs that have ended to where they were submitted, and take them out of the queue.

    A proc leaves the queue once its output is on this machine's disk: whatever is killed before that, it is
    fetched again, and whatever is killed after it, it is here.

    Returns
    -------
    ``seen``, how those ended that were fetched, as `look` would tell it; ``failed``, by proc why one was not.

    Raises
    ------
    ScheddUnreachable: the schedd doesn't answer.
    """
    begun, started = time.monotonic(), time.time()
    ads = _named(schedd.query(_of_clusters(procs), [*JOB_ADS, _FROM]))
    fetched: list[str] = []
    failed: dict[str, dict[str, str]] = {}
    for proc in (one for one in procs if one in ads):
        try:
            schedd.fetch_files(proc)
            fetched.append(proc)
        except ScheddUnreachable:
            if not fetched:
                raise
            break
        except BackendError as error:
            failed[proc] = to_wire(BackendError(_NOT_WRITTEN.format(sentence(error)), _AGAIN))
        if time.monotonic() - begun > _LONG:
            break
    try:
        for folder in {str(ads[proc][_FROM]) for proc in fetched}:
            _sync(folder, started)
    except OSError as error:
        why = to_wire(BackendError(_NOT_WRITTEN.format(f"{error}."), _AGAIN))
        return {"seen": [], "failed": {**failed, **dict.fromkeys(fetched, why)}}
    for proc in fetched:
        schedd.remove(proc, "its output was fetched")
    return {"seen": [asdict(observation(ads[proc])) for proc in fetched], "failed": failed}


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
    return replace(seen, state="removed", reason=NOT_FETCHED)


def _named(ads: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {f"{ad['ClusterId']}.{ad['ProcId']}": ad for ad in ads if "ProcId" in ad}


def _of_clusters(procs: Iterable[str]) -> str:
    """The constraint for all procs of these procs' clusters, which a schedd finds fast."""
    return " || ".join(f"ClusterId == {cluster}" for cluster in sorted({c for c, _ in map(_pair, procs)}))


def _of_procs(procs: Iterable[str]) -> list[str]:
    """Constraints for just these procs, some ranges each."""
    ranges: list[list[int]] = []
    for cluster, proc in sorted(map(_pair, procs)):
        if ranges and ranges[-1][0] == cluster and ranges[-1][2] == proc - 1:
            ranges[-1][2] = proc
        else:
            ranges.append([cluster, proc, proc])
    each = [f"(ClusterId == {c} && ProcId >= {first} && ProcId <= {last})" for c, first, last in ranges]
    return [" || ".join(each[start : start + _RANGES]) for start in range(0, len(each), _RANGES)]


def _pair(name: str) -> tuple[int, int]:
    cluster, proc = name.split(".")
    return int(cluster), int(proc)


def _sync(folder: str, since: float) -> None:
    """Have the disk keep what was written to a folder since a moment.

    The broker may rename a file meanwhile, which is then found under its new name.
    """
    whole = False
    while not whole:
        whole = True
        for entry in list(os.scandir(folder)):
            try:
                if entry.is_file() and entry.stat().st_ctime >= since - 2:
                    _write_through(entry.path)
            except FileNotFoundError:
                whole = False
    _write_through(folder)


def _write_through(path: str) -> None:
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
        _say(do(schedd, **asked))
    except GangaKernelError as error:
        _say({"error": to_wire(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
