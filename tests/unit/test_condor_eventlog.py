from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from ganga_kernel.condor import eventlog
from ganga_kernel.condor.eventlog import NOTE, EventLog, Observation, latest_of, observe, reduce

# As HTCondor 25.14 writes it: started, vacated, started again after its shadow was killed, done.
LOG = """\
000 (005.000.000) 2026-11-22 22:22:17 Job submitted from host: <127.0.0.1:45415?alias=here>
...
040 (005.000.000) 2026-11-22 22:22:17 Started transferring input files
\tTransferring to host: <127.0.0.1:45415?addrs=127.0.0.1-45415&alias=worker.local&sock=slot1>
...
040 (005.000.000) 2026-11-22 22:22:17 Finished transferring input files
...
001 (005.000.000) 2026-11-22 22:22:18 Job executing on host: <127.0.0.1:45415?alias=worker.local>
\tSlotName: slot1@pool@worker.local
\tCpus = 1
...
006 (005.000.000) 2026-11-22 22:22:19 Image size of job updated: 5092
\t3  -  MemoryUsage of job (MB)
\t2864  -  ResidentSetSize of job (KB)
...
004 (005.000.000) 2026-11-22 22:22:20 Job was evicted. Code 1022 Subcode 0
\t(0) CPU times
\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage
\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Local Usage
\t0  -  Run Bytes Sent By Job
\t319  -  Run Bytes Received By Job
\tReason: Job vacated by schedd
...
001 (005.000.000) 2026-11-22 22:22:28 Job executing on host: <127.0.0.1:45415?alias=worker.local>
\tSlotName: slot1@pool@worker.local
...
001 (005.000.000) 2026-11-22 22:22:33 Job executing on host: <127.0.0.1:45415?alias=other.local>
\tSlotName: slot2@pool@other.local
...
012 (005.000.000) 2026-11-22 22:22:38 Job was held.
\tvia condor_hold (by user nobody)
\tCode 1 Subcode 0
...
013 (005.000.000) 2026-11-22 22:22:40 Job was released.
\tvia condor_release (by user nobody)
...
009 (005.000.000) 2026-11-22 22:22:44 Job was aborted.
\tvia condor_rm (by user nobody)
...
"""
STATES = [
    "queued", "transferring", "running", NOTE, "evicted", "running", "running", "held", "released",
    "removed",
]  # fmt: skip


def seen(state: str, proc: int = 0, **more: Any) -> Observation:
    return Observation(1, proc, state, more.pop("time", 0.0), **more)


def state_of(*observations: Observation) -> Observation:
    return reduce(observations)[1, 0]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "condor.log"
    path.write_text(LOG)
    return path


def test_a_log_that_does_not_exist_yet_has_no_news(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "condor.log")
    assert log.read() == []
    (tmp_path / "condor.log").write_text("")
    assert log.read() == []
    (tmp_path / "condor.log").write_text(LOG)
    assert len(log.read()) == len(STATES)


def test_a_log_is_read_once(log: Path) -> None:
    reader = EventLog(log)
    found = reader.read()
    assert [each.state for each in found] == STATES
    assert {(each.cluster, each.proc) for each in found} == {(5, 0)}
    assert reader.read() == []
    assert reader.offset == log.stat().st_size


def test_what_the_observations_say(log: Path) -> None:
    found = EventLog(log).read()
    assert (found[2].host, found[2].slot) == ("worker.local", "slot1@pool@worker.local")
    assert found[3].memory_mb == 3
    assert (found[4].reason, found[4].code) == ("Job vacated by schedd", 1022)
    assert (found[7].reason, found[7].code, found[7].subcode) == (
        "via condor_hold (by user nobody)",
        1,
        0,
    )
    assert found[-1].reason == "via condor_rm (by user nobody)"
    assert found[-1].time - found[0].time == 27


def test_reading_goes_on_from_any_saved_offset(log: Path) -> None:
    whole = EventLog(log).read()
    parts = LOG.split("...\n")
    for number in range(len(parts)):
        log.write_text("...\n".join(parts[:number]) + ("...\n" if number else ""))
        first = EventLog(log)
        before = first.read()
        log.write_text(LOG)
        assert before + EventLog(log, first.offset).read() == whole


def test_half_an_event_is_left_for_later(log: Path) -> None:
    log.write_text(LOG[:-20])
    reader = EventLog(log)
    assert [each.state for each in reader.read()] == STATES[:-1]
    assert reader.read() == []
    log.write_text(LOG)
    assert [each.state for each in reader.read()] == STATES[-1:]


def test_half_an_event_alone_is_not_given_to_the_library_which_would_sleep(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> None:
        raise AssertionError("the library was asked")

    log.write_text(LOG[: LOG.index("...\n")])
    monkeypatch.setattr(eventlog, "load_bindings", load)
    assert EventLog(log).read() == []


def test_a_log_that_shrank_is_another_log(log: Path) -> None:
    reader = EventLog(log)
    reader.read()
    log.write_text(LOG[: LOG.index("040")])
    assert [each.state for each in reader.read()] == ["queued"]


def test_many_logs_keep_no_file_open(log: Path) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    EventLog(log).read()
    before = opened()
    readers = [EventLog(log) for _ in range(300)]
    assert all(reader.read() for reader in readers)
    assert opened() == before


EVENT = {"Cluster": 1, "Proc": 0, "EventTime": "2026-11-22T22:22:17"}


@pytest.mark.parametrize(
    ("kind", "event", "fields"),
    [
        ("SUBMIT", {}, {"state": "queued"}),
        ("FILE_TRANSFER", {"Type": 2}, {"state": "transferring"}),
        ("FILE_TRANSFER", {"Type": 5}, {"state": "transferring"}),
        (
            "EXECUTE",
            {"ExecuteHost": "<10.0.0.1:9618?addrs=x&alias=w.cern.ch&noUDP>"},
            {"state": "running", "host": "w.cern.ch"},
        ),
        ("EXECUTE", {"ExecuteHost": "<10.0.0.1:9618>"}, {"state": "running", "host": "10.0.0.1"}),
        (
            "EXECUTE",
            {"ExecuteHost": "<1:2>", "SlotName": "slot1_3@w.cern.ch"},
            {"host": "w.cern.ch", "slot": "slot1_3@w.cern.ch"},
        ),
        (
            "JOB_DISCONNECTED",
            {"DisconnectReason": "Socket closed", "StartdName": "slot1@w"},
            {"state": "disconnected", "reason": "Socket closed", "host": "w"},
        ),
        ("JOB_RECONNECTED", {"StartdName": "slot1@w"}, {"state": "running", "host": "w"}),
        ("JOB_RECONNECT_FAILED", {"Reason": "gone"}, {"state": "evicted", "reason": "gone"}),
        ("SHADOW_EXCEPTION", {"Message": "oh"}, {"state": "evicted", "reason": "oh"}),
        ("JOB_SUSPENDED", {}, {"state": "running"}),
        ("JOB_UNSUSPENDED", {}, {"state": "running", "reason": ""}),
        (
            "REMOTE_ERROR",
            {"ErrorMsg": "no file", "HoldReasonCode": 13, "HoldReasonSubCode": 2},
            {"state": NOTE, "reason": "no file", "code": 13, "subcode": 2},
        ),
        ("EXECUTABLE_ERROR", {}, {"state": NOTE}),
        (
            "JOB_TERMINATED",
            {"TerminatedNormally": True, "ReturnValue": 3, "MemoryUsage": 7},
            {"state": "completed", "exit_code": 3, "exit_signal": None, "memory_mb": 7},
        ),
        (
            "JOB_TERMINATED",
            {"TerminatedNormally": False, "TerminatedBySignal": 9},
            {"state": "completed", "exit_code": None, "exit_signal": 9},
        ),
        ("DATAFLOW_JOB_SKIPPED", {"Reason": "up to date"}, {"state": "completed", "exit_code": 0}),
    ],
)
def test_events_become_observations(kind: str, event: dict[str, Any], fields: dict[str, Any]) -> None:
    found = observe(kind, {**EVENT, **event})
    assert found is not None
    assert {name: getattr(found, name) for name in fields} == fields


def test_events_that_say_nothing_about_a_job_are_left_out() -> None:
    assert observe("GENERIC", EVENT) is None
    assert observe("FILE_TRANSFER", {**EVENT, "Type": 3}) is None
    assert observe("CLUSTER_SUBMIT", {"Cluster": 1, "EventTime": EVENT["EventTime"]}) is None


def test_times_are_local_unless_they_say_utc() -> None:
    utc = observe("SUBMIT", {**EVENT, "EventTime": "1970-01-02T00:00:00Z"})
    assert utc is not None
    assert utc.time == 86400


def test_each_proc_has_its_latest() -> None:
    latest = reduce([seen("queued"), seen("queued", 1), seen("running", 1, host="w")])
    assert (latest[1, 0].state, latest[1, 1].state) == ("queued", "running")


def test_a_result_can_be_gone_on_from() -> None:
    first = reduce([seen("queued"), seen("running", host="w")])
    second = reduce([seen("completed", exit_code=0)], first)
    assert (second[1, 0].state, second[1, 0].host) == ("completed", "w")
    assert first[1, 0].state == "running"


def test_what_has_ended_stays_ended() -> None:
    done = state_of(seen("completed", exit_code=2), seen("evicted"), seen("removed"))
    assert (done.state, done.exit_code) == ("completed", 2)


def test_a_killed_shadow_shows_as_a_second_start() -> None:
    latest = state_of(seen("running", host="a", time=1.0), seen("running", host="b", time=2.0))
    assert (latest.host, latest.time) == ("b", 2.0)


def test_notes_change_no_state() -> None:
    latest = state_of(seen("running", host="w"), seen(NOTE, memory_mb=5), seen(NOTE, memory_mb=3, reason="x"))
    assert (latest.state, latest.memory_mb, latest.host) == ("running", 5, "w")
    assert state_of(seen(NOTE, memory_mb=1)).state == "queued"


def test_a_hold_outlives_its_own_eviction() -> None:
    assert state_of(seen("held", reason="why"), seen("evicted")).reason == "why"
    assert state_of(seen("evicted"), seen("held", reason="why")).state == "held"
    assert state_of(seen("held"), seen("released")).state == "released"


def test_procs_that_never_came_into_the_queue_are_removed_with_their_cluster() -> None:
    removed = {"Cluster": 1, "EventTime": "2026-11-22T22:22:17", "NextProcId": 2, "Completion": 0}
    state = reduce([seen("running"), observed("CLUSTER_REMOVE", removed), seen("completed")])
    assert [latest_of(state, 1, proc).state for proc in range(4)] == [
        "completed", "queued", "removed", "removed",
    ]  # fmt: skip
    assert latest_of(state, 2, 3).state == "queued"


def observed(kind: str, event: dict[str, Any]) -> Observation:
    found = observe(kind, event)
    assert found is not None
    return found


def test_a_job_that_waits_again_is_nowhere() -> None:
    assert state_of(seen("running", host="w", slot="s"), seen("evicted")).host == ""


def test_repeated_observations_change_nothing(log: Path) -> None:
    found = EventLog(log).read()
    once = reduce(found)
    twice = [each for pair in zip(found, found, strict=True) for each in pair]
    assert reduce(twice) == once
    random.Random(1).shuffle(found)
    assert reduce(found)[5, 0].state == "removed"
