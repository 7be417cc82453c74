"""HTCondor's event log as observations, and what they add up to.

The log is a file that the schedd and the shadows append to: reading it costs nothing when nothing
has happened, and says why a job is held. `EventLog` reads what is new; `reduce` folds observations
into the latest state of each proc.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from ganga_kernel.condor.bindings import load_bindings

#: What a proc can be in. `evicted` and `released` are `queued` with a story; see `waiting`.
STATES = (
    "queued",
    "transferring",
    "running",
    "disconnected",
    "held",
    "evicted",
    "released",
    "completed",
    "removed",
)
FINAL = frozenset({"completed", "removed"})
#: The states in which the proc waits for a machine.
WAITING = frozenset({"queued", "evicted", "released"})
#: In the place of a proc: the whole of a cluster that HTCondor put into its queue little by little.
WHOLE = -1
#: An observation that changes no state: memory used, or the text of an error that others explain.
NOTE = "note"


@dataclass(frozen=True)
class Observation:
    """One thing that happened to one proc, or to a whole cluster.

    Parameters
    ----------
    proc:
        Its number, or `WHOLE`.
    state:
        One of `STATES`, or `NOTE`.
    time:
        Unix seconds.
    host, slot:
        Where the job runs: the machine's name or address, HTCondor's slot name; else empty.
    exit_code, exit_signal:
        Of a completed job, or one that ended and is run again (evicted): one of the two is set.
    reason, code, subcode:
        Why, in HTCondor's words and numbers (held, evicted, removed, disconnected).
    memory_mb:
        The most memory that the job was seen to use.
    made:
        Of a whole cluster that was removed: how many of its procs had come into the queue by then.
    """

    cluster: int
    proc: int
    state: str
    time: float
    host: str = ""
    slot: str = ""
    exit_code: int | None = None
    exit_signal: int | None = None
    reason: str = ""
    code: int | None = None
    subcode: int | None = None
    memory_mb: int | None = None
    made: int | None = None


class EventLog:
    """A job event log that is read as it grows.

    Parameters
    ----------
    path:
        The log; it need not exist yet.
    offset:
        Where to go on: `offset` of an earlier `EventLog` of the same file, in any process.

    Nothing is kept open between two reads, so there may be thousands of these.
    """

    def __init__(self, path: str | os.PathLike[str], offset: int = 0) -> None:
        self.path = os.fspath(path)
        self.offset = offset

    def read(self) -> list[Observation]:
        """What has happened since the last read; never waits. No log, no news.

        An event that is only half written is left for the next read: the library would sleep for a second
        and try again. A log that has become shorter than what was read of it is another log, and is read
        from its start.
        """
        try:
            size = os.stat(self.path).st_size
        except FileNotFoundError:
            return []
        if size < self.offset:
            self.offset = 0
        whole = self._whole_events() if size > self.offset else 0
        if not whole:
            return []
        htcondor2 = load_bindings()
        # The constructor always begins at 0; the library's pickled state is its way to go on.
        log = htcondor2.JobEventLog.__new__(htcondor2.JobEventLog)
        log.__setstate__(({"_filename": self.path, "_deadline": 0}, self.offset))
        try:
            found = [observe(event.type.name, event) for event in islice(log.events(0), whole)]
            self.offset = log.__getstate__()[1]
        finally:
            log.close()
        return [observation for observation in found if observation is not None]

    def _whole_events(self) -> int:
        """How many events that weren't read yet are there up to the line that ends each."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read().count(b"\n...\n")


def observe(kind: str, event: Mapping[str, Any]) -> Observation | None:
    """The observation that an event amounts to; None for one that says nothing about a proc or its cluster.

    Parameters
    ----------
    kind:
        The name of the event's type, as in ``htcondor2.JobEventType``.
    event:
        Its attributes.
    """
    proc = int(event.get("Proc", WHOLE))
    base = Observation(int(event.get("Cluster", -1)), proc, NOTE, _time(str(event["EventTime"])))
    if proc < 0:
        ended = kind == "CLUSTER_REMOVE"
        return replace(base, state="removed", made=_number(event, "NextProcId")) if ended else None
    reason = str(event.get("Reason", ""))
    match kind:
        case "SUBMIT":
            return replace(base, state="queued")
        case "DATAFLOW_JOB_SKIPPED":
            return replace(base, state="completed", exit_code=0, reason=reason)
        case "FILE_TRANSFER":
            return _transfer(base, event)
        case "EXECUTE" | "JOB_RECONNECTED" | "JOB_UNSUSPENDED":
            slot = str(event.get("SlotName", ""))
            return replace(base, state="running", host=_host(event), slot=slot)
        case "JOB_SUSPENDED":
            return replace(base, state="running", reason="The job is suspended on its machine.")
        case "JOB_DISCONNECTED":
            reason = str(event.get("DisconnectReason", reason))
            return replace(base, state="disconnected", host=_host(event), reason=reason)
        case "JOB_RECONNECT_FAILED":
            return replace(base, state="evicted", reason=reason)
        case "JOB_EVICTED":
            again = bool(event.get("TerminatedAndRequeued"))
            return replace(
                base,
                state="evicted",
                reason=reason,
                exit_code=_number(event, "ReturnValue") if again else None,
                exit_signal=_number(event, "TerminatedBySignal") if again else None,
                code=_number(event, "ReasonCode"),
                subcode=_number(event, "ReasonSubCode"),
            )
        case "SHADOW_EXCEPTION":
            return replace(base, state="evicted", reason=str(event.get("Message", "")))
        case "JOB_HELD":
            return replace(
                base,
                state="held",
                reason=str(event.get("HoldReason", "")),
                code=_number(event, "HoldReasonCode"),
                subcode=_number(event, "HoldReasonSubCode"),
            )
        case "JOB_RELEASED":
            return replace(base, state="released", reason=reason)
        case "JOB_ABORTED":
            return replace(base, state="removed", reason=reason)
        case "JOB_TERMINATED":
            return replace(
                base,
                state="completed",
                exit_code=_number(event, "ReturnValue"),
                exit_signal=_number(event, "TerminatedBySignal"),
                memory_mb=_number(event, "MemoryUsage"),
            )
        case "IMAGE_SIZE":
            return replace(base, memory_mb=_number(event, "MemoryUsage"))
        case "REMOTE_ERROR":
            # Followed by a hold or an eviction, which decides the state.
            return replace(
                base,
                reason=str(event.get("ErrorMsg", "")),
                code=_number(event, "HoldReasonCode"),
                subcode=_number(event, "HoldReasonSubCode"),
            )
        case "EXECUTABLE_ERROR":
            return replace(base, reason="The executable can't be run on its machine.")
        case _:
            return None


def reduce(
    observations: Iterable[Observation],
    state: Mapping[tuple[int, int], Observation] | None = None,
) -> dict[tuple[int, int], Observation]:
    """The latest state of each proc, by (cluster, proc); never one in state `NOTE`.

    Observations may be repeated and out of order in small ways: what has ended stays ended, and
    memory is the most that was seen. Pass the former result as `state` to go on from it; it is not
    changed.
    """
    latest = dict(state or {})
    for seen in observations:
        key = (seen.cluster, seen.proc)
        before = latest.get(key)
        if before is None:
            # A proc whose SUBMIT event was missed is in the queue, whatever is noted about it.
            latest[key] = replace(seen, state="queued") if seen.state == NOTE else seen
            continue
        memory = _most(before.memory_mb, seen.memory_mb)
        if seen.state == NOTE or before.state in FINAL:
            latest[key] = replace(before, memory_mb=memory)
        elif before.state == "held" and seen.state in {"evicted", "queued"}:
            # The eviction that belongs to the hold, told late.
            latest[key] = replace(before, memory_mb=memory)
        else:
            # Most events don't repeat where the job runs, or ran.
            stays = seen.state not in WAITING
            latest[key] = replace(
                seen,
                host=seen.host or (before.host if stays else ""),
                slot=seen.slot or (before.slot if stays else ""),
                memory_mb=memory,
            )
    return latest


def latest_of(state: Mapping[tuple[int, int], Observation], cluster: int, proc: int) -> Observation:
    """The latest of a proc, from what `reduce` made of the log.

    One of which the log says nothing is in the queue, or will be; unless its cluster has been removed
    before.
    """
    known = state.get((cluster, proc))
    if known is not None:
        return known
    whole = state.get((cluster, WHOLE))
    if whole is not None and whole.made is not None and proc >= whole.made:
        return replace(whole, proc=proc, made=None)
    return Observation(cluster, proc, "queued", 0.0)


def _transfer(base: Observation, event: Mapping[str, Any]) -> Observation | None:
    direction = {
        1: "Its input files wait for their transfer.",
        2: "Its input files are on their way.",
        4: "Its output files wait for their transfer.",
        5: "Its output files are on their way.",
    }.get(int(event.get("Type", 0)))
    return None if direction is None else replace(base, state="transferring", reason=direction)


def _host(event: Mapping[str, Any]) -> str:
    """The machine: from ``slot1_2@group@name``, else from ``<address?...alias=name>``."""
    slot = str(event.get("SlotName", ""))
    if "@" in slot:
        return slot.rsplit("@", 1)[1]
    contact = str(event.get("ExecuteHost", event.get("StartdName", "")))
    if "@" in contact and "<" not in contact:
        return contact.rsplit("@", 1)[1]
    _, _, alias = contact.partition("alias=")
    if alias:
        return alias.split("&")[0].rstrip(">")
    return contact.strip("<>").split("?")[0].rsplit(":", 1)[0]


def _time(text: str) -> float:
    """Unix seconds of an event time: UTC if it ends in Z, otherwise local time."""
    return datetime.fromisoformat(text).timestamp()


def _number(event: Mapping[str, Any], name: str) -> int | None:
    value = event.get(name)
    return int(value) if isinstance(value, int | float) else None


def _most(one: int | None, other: int | None) -> int | None:
    numbers = [number for number in (one, other) if number is not None]
    return max(numbers) if numbers else None
