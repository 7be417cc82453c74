"""The broker's parts that need no broker: stream, progress, store, lease, summary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel.broker import backends, rehearsing
from ganga_kernel.broker.again import repeated
from ganga_kernel.broker.attaching import REFUSED, attaches
from ganga_kernel.broker.dividing import handed_on
from ganga_kernel.broker.progress import arrived, on_event, on_observation
from ganga_kernel.broker.slurmqueue import SlurmQueue
from ganga_kernel.broker.store import Store
from ganga_kernel.broker.stream import EventStream
from ganga_kernel.broker.summary import error_of, failed_since, job_state, results, summary
from ganga_kernel.broker.watch import CondorWatcher, LocalWatcher, Observation, local_native
from ganga_kernel.broker.watching import Watched, Watching
from ganga_kernel.errors import BackendError
from ganga_kernel.states import STATES
from tests.jobs import new_job


def line(attempt: int, seq: int, **more: Any) -> bytes:
    """One event as the payload writes it."""
    head = {"attempt": attempt, "seq": seq, "time": 1e9 + attempt, "event": "output"}
    return json.dumps({**head, **more}).encode() + b"\n"


@given(st.lists(st.text(max_size=30), max_size=8), st.integers(5, 400))
def test_a_stream_read_in_any_pieces_gives_every_event_once(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], step: int
) -> None:
    path = tmp_path_factory.mktemp("stream") / "0.events"
    whole = b"".join(line(1, i, text=text) for i, text in enumerate(texts))
    found = []
    offset, head = 0, ""
    for start in range(0, len(whole) + step, step):
        with path.open("ab") as file:
            file.write(whole[start : start + step])
        stream = EventStream(path, offset, head)  # a new one each time, as after a restart
        again, events = stream.read()
        assert not again
        found += [event["text"] for event in events]
        offset, head = stream.offset, stream.head
    assert found == texts


def test_a_stream_that_shrank_is_read_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "0.events"
    stream = EventStream(path)
    assert stream.read() == (False, [])
    path.write_bytes(line(1, 0) + line(1, 1))
    assert len(stream.read()[1]) == 2
    path.write_bytes(line(2, 0))
    again, events = stream.read()
    assert again and [event["attempt"] for event in events] == [2]


def test_a_stream_that_began_anew_and_is_longer_already_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "0.events"
    stream = EventStream(path)
    path.write_bytes(line(1, 0))
    stream.read()
    path.write_bytes(line(2, 0) + line(2, 1) + line(2, 2))
    again, events = stream.read()
    assert again and [event["seq"] for event in events] == [0, 1, 2]


def test_a_stream_that_began_anew_and_is_just_as_long_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "0.events"
    stream = EventStream(path)
    path.write_bytes(line(1, 0, text="x" * 200))
    stream.read()
    path.write_bytes(line(2, 0, text="x" * 200))
    os.utime(path, ns=(0, 0))  # the two may be within one tick of the disk's clock
    again, events = stream.read()
    assert again and [event["attempt"] for event in events] == [2]


def test_what_is_no_event_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "0.events"
    path.write_bytes(b"Segmentation fault\n" + line(1, 0) + b"[1]\n")
    assert [event["seq"] for event in EventStream(path).read()[1]] == [0]


def test_what_a_starter_writes_twice_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "0.events"
    path.write_bytes(line(1, 0) + line(1, 1) + line(1, 1))
    stream = EventStream(path)
    assert [event["seq"] for event in stream.read()[1]] == [0, 1]
    with path.open("ab") as file:
        file.write(line(1, 2)[:10] + line(1, 1) + line(1, 2))
    assert [event["seq"] for event in stream.read()[1]] == [2]


def test_a_long_stream_is_read_in_parts_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "0.events"
    path.write_bytes(b"".join(line(1, i, text="x" * 10**6) for i in range(10)))
    stream = EventStream(path)
    found = []
    while True:
        found += stream.read()[1]
        if not stream.more:
            break
    assert [event["seq"] for event in found] == list(range(10))


def task(**values: Any) -> dict[str, Any]:
    """A task as the store holds it."""
    return {
        "task": 0, "state": "running", "reason": "", "attempt": 1, "host": "wn", "started": 1.0,
        "ended": None, "exit_code": None, "backend_ended": 0, "error": None, "result": None,
        "usage": None, "notes": [], "again": [], "items_done": 0, "items_failed": 0, "progress": None,
        "kill_asked": 0, **values,
    }  # fmt: skip


OK = {
    "event": "end",
    "status": "ok",
    "time": 9.0,
    "result": {"file": "0.result", "size": 5, "signature": "s"},
}
ERROR = {"event": "end", "status": "error", "time": 9.0, "error": {"ename": "E"}, "result": None}


def here(_: str) -> int:
    return 5


def nowhere(_: str) -> int:
    return 0


def test_a_result_has_arrived_with_its_files() -> None:
    sizes = {"0.result": 5, "0.files": 7}
    result = {"file": "0.result", "size": 5, "signature": "s", "files": {"file": "0.files", "size": 7}}
    assert arrived(result, lambda name: sizes[name]) and not arrived(result, here)
    assert arrived({**result, "files": None}, here) and not arrived(None, here)


def after(changes: dict[str, Any]) -> dict[str, Any]:
    return {**task(), **changes}


def test_a_result_counts_when_its_file_is_whole() -> None:
    assert on_event(task(), OK, here)["state"] == "done"
    assert "state" not in on_event(task(), OK, nowhere)


def test_an_end_of_the_backend_s_without_one_of_the_payload_s_is_a_lost_task() -> None:
    changes = on_observation(task(), Observation(0, "ended", 9.0, exit_code=-11), False, nowhere)
    assert changes["state"] == "lost" and "SIGSEGV" in changes["reason"]


def test_a_result_that_never_arrives_is_lost_too() -> None:
    ended = on_event(task(), OK, nowhere)
    changes = on_observation(after(ended), Observation(0, "ended", 9.5, exit_code=0), False, nowhere)
    assert changes["state"] == "lost" and "didn't come back" in changes["reason"]


def test_a_kill_that_came_too_late_is_no_kill() -> None:
    ended = on_event(task(), OK, here)
    changes = on_observation(after(ended), Observation(0, "ended", 9.5, exit_code=0), True, here)
    assert "state" not in changes
    changes = on_observation(task(), Observation(0, "ended", 9.5), True, nowhere)
    assert changes["state"] == "killed" and not changes["reason"]
    alone = task(kill_asked=1)
    assert "This task" in on_observation(alone, Observation(0, "ended", 9.5), True, nowhere)["reason"]


def test_a_terminated_payload_may_start_anew() -> None:
    stopped = on_event(task(), {**ERROR, "status": "terminated"}, nowhere)
    assert "state" not in stopped
    waiting = on_observation(after(stopped), Observation(0, "queued", 9.5), False, nowhere)
    assert waiting["state"] == "queued"
    start = {"event": "start", "attempt": 2, "time": 10.0, "host": "other"}
    assert on_event(after(stopped), start, nowhere)["error"] is None


def test_a_task_that_has_ended_stays_so() -> None:
    assert on_event(task(state="failed"), OK, here) == {}
    assert on_observation(task(state="done"), Observation(0, "running", 9.9), False, here) == {}


def test_a_job_shows_what_needs_attention_first() -> None:
    assert job_state([task(state="done"), task(state="failed")]) == "failed"
    assert job_state([task(state="failed"), task(state="running")]) == "running"
    assert job_state([task(state="running"), task(state="held")]) == "held"


def item(number: int, error: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the payload reports of an item."""
    status = "error" if error else "ok"
    return {"event": "item", "item": number, "status": status, "error": error, "time": 2.0 + number}


def test_items_are_counted_and_a_task_with_failed_ones_delivers_the_others() -> None:
    now = task(error=None)
    for event in (item(0), item(1, {"ename": "E", "evalue": "e"}), item(2)):
        now |= on_event(now, event, nowhere)
    assert (now["items_done"], now["items_failed"]) == (2, 1)
    end = {**ERROR, "result": OK["result"]}
    waiting = on_event(now, end, nowhere)
    assert "state" not in waiting
    assert on_event(now, end, here)["state"] == "failed"
    late = on_observation({**now, **waiting}, Observation(0, "ended", 9.5, exit_code=1), False, here)
    assert late["state"] == "failed"
    lost = on_observation({**now, **waiting}, Observation(0, "ended", 9.5, exit_code=1), False, nowhere)
    assert lost["state"] == "lost"
    again = on_event(now, {"event": "start", "attempt": 2, "time": 10.0}, nowhere)
    assert again["items_done"] == again["items_failed"] == 0


def test_a_cell_s_own_progress_counts_from_its_first_word_and_anew_with_each_start() -> None:
    now = task()
    for at, done in ((10.0, 5), (20.0, 10)):
        now |= on_event(now, {"event": "progress", "done": done, "total": 20, "time": at}, nowhere)
    job = {**new_job("p"), "id": 1, "map": None, "native": None, "clusters": [],
           "ganga_id": 1, "created": 0.0, "submitted": 0.0, "delivered": 0, "failures": [], "first": None,
           "limits": {}, "tasks": [now]}  # fmt: skip
    assert summary(job)["progress"] == {"done": 10, "total": 20, "running": 1, "finish": 40.0}
    now["state"] = "failed"
    assert summary(job)["progress"] == {"done": 10, "total": 20, "running": 0, "finish": None}
    now["state"] = "done"
    assert summary(job)["progress"] is None
    now["state"] = "running"
    now |= on_event(now, {"event": "start", "attempt": 2, "time": 50.0}, nowhere)
    assert summary(job)["progress"] is None


def map_job(allow_failures: bool = False, **values: Any) -> dict[str, Any]:
    """A map of five items in two tasks, as a client submits it."""
    mapped = {
        "only": None, "count": 5, "chunks": [[0, 3], [3, 5]], "budget": None, "rehearse": False,
        "allow_failures": allow_failures,
    }  # fmt: skip
    return {**new_job("m"), "map": mapped, **values}


@pytest.mark.parametrize(("allowed", "state"), [(True, "done"), (False, "failed")])
def test_a_map_s_summary(tmp_path: Path, allowed: bool, state: str) -> None:
    store = Store(tmp_path / "jobs.sqlite")
    number = store.add(map_job(allowed))
    error = {"ename": "E", "evalue": "e", "traceback": ["where"]}
    store.add_failures(number, 0, [(1, error)])
    store.add_failures(number, 1, [(4, error)])
    result = {"file": "0.result", "size": 5, "signature": "s", "ended": 9.0}
    store.change_task(number, 0, state="failed", items_done=2, items_failed=1, result=result, error=error)
    running = summary(store.job(number) or {})
    assert (running["state"], running["items"]["done"], running["items"]["failed"]) == ("accepted", 2, 1)
    assert running["progress"] is None
    for failures, failed in (([1], False), ([], True)):
        with pytest.raises(BackendError, match="has not ended"):
            repeated(store.job(number) or {}, failures, failed, {}, slots=2, seconds=30)
    assert repeated(store.job(number) or {}, [1], True, {}, slots=2, seconds=30)["map"]["only"] == [1]
    store.change_task(number, 0, started=10.0, progress={"at": 25.0})
    store.change_task(number, 1, state="running", items_done=1, started=12.0, progress={"at": 17.0})
    counted = {"done": 4, "total": 5, "running": 1, "finish": 25.0}
    assert summary(store.job(number) or {})["progress"] == counted
    store.change_task(number, 1, state="lost", items_done=1, items_failed=1, reason="It crashed.")
    job = store.job(number) or {}
    told = summary(job)
    assert told["state"] == state
    assert told["items"] == {
        "total": 5, "done": 2, "failed": 3, "failures": [{"item": 1, "ename": "E", "evalue": "e"}],
        "lost": [{"items": "3 to 4", "state": "lost", "why": "It crashed."}], "of": 5,
    }  # fmt: skip
    again = repeated(job, store.failed_items(number), True, {"memory": 7}, slots=2, seconds=30)
    assert (again["map"]["only"], again["map"]["chunks"], again["tasks"]) == ([1, 3, 4], [[0, 1], [1, 3]], 2)
    assert again["resources"] == {**job["resources"], "memory": 7} and again["replaces"] == job["token"]
    if allowed:
        with pytest.raises(BackendError, match=f"Job {number} is done"):
            repeated(job, [], False, {}, slots=2, seconds=30)
    else:
        assert repeated(job, [], False, {}, slots=2, seconds=30)["map"]["only"] is None
    assert [one["result"] for one in results(job)] == [result, None]
    assert (results(job)[1]["ename"], results(job)[1]["evalue"]) == ("JobLost", "It crashed.")
    said = error_of(told)
    if not allowed:
        assert said is not None and said["ename"] == "E" and "item 1: e (3 of 5 items" in said["evalue"]
    store.close()


@pytest.mark.parametrize("allowed", [True, False])
def test_failed_items_that_run_beside_the_others_end_with_them(tmp_path: Path, allowed: bool) -> None:
    store = Store(tmp_path / "jobs.sqlite")
    first = store.add(map_job(allowed))
    store.add_failures(first, 0, [(1, {"ename": "E", "evalue": "e"})])
    again = repeated(store.job(first) or {}, [1], True, {}, slots=2, seconds=30)
    second = store.add({**again, "token": "second", "folder": "", "execution_count": 2})
    assert store.repeats("m") == [second] and store.repeats("second") == []
    result = {"file": "0.result", "size": 5, "signature": "s", "ended": 9.0}
    store.change_task(second, 0, state="done", items_done=1, result=result, ended=9.0)
    told = summary(store.job(second) or {})
    assert (told["state"], told["beside"]) == ("running", first)
    assert f"waits for the others, which job {first} runs" in told["reason"]
    with pytest.raises(BackendError, match="no item has failed"):
        repeated(store.job(second) or {}, [], True, {}, slots=2, seconds=30)
    store.change_task(first, 0, state="failed", result=result)
    store.change_task(first, 1, state="lost")
    job = store.job(second) or {}
    told = summary(job)
    assert (told["state"], told["beside"]) == ("done" if allowed else "failed", None)
    assert failed_since(job) == [3, 4]
    if not allowed:
        assert told["reason"] == f"Items 3 to 4 failed meanwhile: %resubmit {second} --failed runs them."
    third = repeated(job, [], True, {}, slots=2, seconds=30)
    assert third["map"]["only"] == [3, 4] and third["replaces"] == "second"
    store.close()


def test_what_a_task_hands_on_becomes_tasks_of_the_size_that_suits(tmp_path: Path) -> None:
    """Two of ten items in four seconds, with a budget of six: the rest goes in threes."""
    store = Store(tmp_path / "jobs.sqlite")
    mapped = {
        "only": None,
        "count": 12,
        "chunks": [[0, 10], [10, 12]],
        "budget": 6.0,
        "most": 99,
        "rehearse": False,
        "allow_failures": 0,
    }
    number = store.add(map_job(folder=str(tmp_path), backend="HTCondor", map=mapped, tasks=2))
    grown: list[int] = []
    watching = Watching(
        store, lambda *_: None, lambda _: None, lambda _: None, lambda *_: None, grown.append, SlurmQueue()
    )
    store.change_job(number, clusters=[[7, 0, 2]])
    store.change_task(number, 0, state="running")
    watching.add(store.job(number) or {}, [])
    log = tmp_path / "condor.log"
    submit = "000 (008.000.000) 2026-11-26 06:00:00 Job submitted from host: <1.2.3.4:9618>\n...\n"
    execute = "001 (008.001.000) 2026-11-26 06:00:01 Job executing on host: <1.2.3.4:9618>\n...\n"
    left = {"event": "left", "place": 2, "time": 4.0}
    events = tmp_path / "0.events"
    first = [line(1, 0, event="start", host="wn", time=0.0), line(1, 1, **item(0)), line(1, 2, **left)]
    events.write_bytes(b"".join(first))
    log.write_text(submit + execute)  # of a cluster that the broker doesn't know yet
    watching.look()
    job = store.job(number) or {}
    assert job["map"]["chunks"] == [[0, 2], [10, 12], [2, 4], [4, 7], [7, 10]] and grown == [number]
    assert [task["state"] for task in job["tasks"]] == ["running", "accepted", "queued", "queued", "queued"]
    assert job["log_offset"] == 0 and summary(job)["items"]["total"] == 12
    watching.sent(number, [[7, 0, 2], [8, 2, 5]])
    watching.look()
    states = [task["state"] for task in (store.job(number) or {})["tasks"]]
    assert states == ["running", "accepted", "queued", "running", "queued"]
    # Started anew, it doesn't know yet that others have these items: what it tells of them doesn't count.
    again = [line(2, 0, event="start", host="wn", time=9.0), *(line(2, n + 1, **item(n)) for n in range(4))]
    events.write_bytes(b"".join([*again, line(2, 5, **{**left, "place": 4, "time": 12.0})]))
    watching.look()
    job = store.job(number) or {}
    assert job["map"]["chunks"][0] == [0, 2] and len(job["tasks"]) == 5
    assert job["tasks"][0]["items_done"] == 2
    result = {"file": "r", "size": 1, "signature": "s", "ended": 9.0}
    job["tasks"] = [{**task, "state": "done", "result": result} for task in job["tasks"]]
    assert [one["last"] for one in results(job)] == [1, 3, 6, 9, 11]
    store.close()


@given(st.integers(2, 500), st.integers(1, 499), st.floats(0, 1e4), st.floats(0.1, 1e3), st.integers(-5, 50))
def test_all_that_is_handed_on_is_in_a_chunk(
    stop: int, begun: int, took: float, budget: float, room: int
) -> None:
    place = min(begun, stop - 1)
    found = handed_on([0, stop], place, took, budget, room)
    assert [number for start, end in found for number in range(start, end)] == list(range(place, stop))
    assert len(found) <= max(1, room)


def test_a_rehearsal_tells_what_the_others_need() -> None:
    mapped = {
        "only": None,
        "count": 9,
        "chunks": [[0, 1], [1, 5], [5, 9]],
        "rehearse": True,
        "allow_failures": 0,
    }
    first = {"state": "running", "usage": {"wall": 12.0, "memory": 300 * 2**20}}
    job: dict[str, Any] = {"map": mapped, "tasks": [first, {}, {}], "resources": {}}
    assert rehearsing.waits(job) and not rehearsing.failed(job)
    assert rehearsing.sentence(job).startswith("Item 0 first, alone (--rehearse)")
    first["state"] = "done"
    assert not rehearsing.waits(job) and not rehearsing.failed(job)
    assert rehearsing.learnt(job) == {"memory": 400 * 2**20}
    job["resources"] = {"memory": 2**30}
    assert rehearsing.learnt(job) == {}
    assert rehearsing.sentence(job) == (
        "Item 0, alone first, took 12 s and 300 MB of memory. The others were asked for with 1 GB."
    )
    for state, failed, allowed, fails in [
        ("failed", "r", 0, True), ("failed", "r", 1, False), ("lost", None, 1, True),
        ("killed", None, 0, True),
    ]:  # fmt: skip
        first |= {"state": state, "result": failed}
        mapped["allow_failures"] = allowed
        assert rehearsing.failed(job) is fails
    job["tasks"] = [first]
    assert not rehearsing.is_on(job) and rehearsing.sentence(job) == ""


def test_outputs_of_items_come_with_the_failed_ones_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "jobs.sqlite")
    number = store.add(map_job())
    store.add_outputs(number, 0, [(n, {"type": "stream", "of": n}) for n in (0, 2, 0)])
    store.add_outputs(number, 1, [(None, {"type": "stream"}), (3, {"type": "error"})])
    store.add_failures(number, 1, [(3, {"ename": "E", "evalue": "e"})])
    zero = {"type": "stream", "of": 0}
    assert store.item_outputs(number, 2) == [(3, [{"type": "error"}]), (0, [zero, zero])]
    assert store.count_item_outputs(number) == 3
    store.forget_outputs(number, 1)
    assert [n for n, _ in store.item_outputs(number, 9)] == [0, 2] and not store.failures(number, 9)
    store.close()


def test_the_tasks_of_a_large_job_take_turns_and_those_that_end_are_read_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "jobs.sqlite")
    chunks = [[n, n + 1] for n in range(200)]
    number = store.add(
        map_job(
            folder=str(tmp_path),
            backend="LSF",
            tasks=200,
            map={"only": None, "count": 200, "chunks": chunks, "rehearse": False, "allow_failures": 0},
        )
    )
    for n in range(200):
        start = line(1, 0, event="start", host="wn")
        (tmp_path / f"{n}.events").write_bytes(
            start + line(1, 1, **item(n)) + line(1, 2, **{**OK, "time": 9.0})
        )
    (tmp_path / "0.result").write_bytes(b"12345")
    over: list[dict[str, Any]] = []
    watching = Watching(
        store, lambda *_: None, lambda _: None, over.append, lambda *_: None, lambda _: None, SlurmQueue()
    )
    job = store.job(number)
    assert job is not None
    watching.add(job, ["completed"] * 2)
    watching.look()  # the streams of the two that ended, and the first in turn
    told = summary(store.job(number) or {})
    assert 10 <= told["items"]["done"] < 200
    for n in range(2, 200):
        watching.tell_status(0, n, "completed")
    for _ in range(10):
        watching.look()
    assert summary(store.job(number) or {})["items"]["done"] == 200
    store.close()


def test_a_task_that_starts_anew_after_its_end_is_told_to_be_stopped(tmp_path: Path) -> None:
    """A shadow that is killed before it has told the schedd of the end: its job runs once more."""
    store = Store(tmp_path / "jobs.sqlite")
    number = store.add({**new_job("t"), "tasks": 1, "backend": "HTCondor", "folder": str(tmp_path)})
    stopped: list[int] = []
    watching = Watching(
        store,
        lambda *_: None,
        lambda _: None,
        lambda _: None,
        lambda _, task: stopped.append(task["task"]),
        lambda _: None,
        SlurmQueue(),
    )
    watching.add(store.job(number) or {}, [])
    (tmp_path / "0.result").write_bytes(b"12345")
    start = {"event": "start", "host": "wn", "time": 1.0}
    events = tmp_path / "0.events"
    events.write_bytes(line(1, 0, **start) + line(1, 1, **OK))
    watching.look()
    assert summary(store.job(number) or {})["state"] == "done" and not stopped
    (tmp_path / "0.result").write_bytes(b"other")
    kept = summary(store.job(number) or {})["result"]["file"]
    assert (tmp_path / kept).read_bytes() == b"12345"
    events.write_bytes(line(2, 0, **start))
    watching.look()
    watching.look()
    assert summary(store.job(number) or {})["state"] == "done" and stopped == [0]
    store.close()


#: As HTCondor 25.14 writes it when a cluster of which two procs were in the queue is removed.
_REMOVED = """\
035 (007.-01.000) 2026-11-25 22:21:00 Cluster submitted from host: <127.0.0.1:44531?alias=here>
...
000 (007.000.000) 2026-11-25 22:21:00 Job submitted from host: <127.0.0.1:44531?alias=here>
...
000 (007.001.000) 2026-11-25 22:21:00 Job submitted from host: <127.0.0.1:44531?alias=here>
...
009 (007.000.000) 2026-11-25 22:21:05 Job was aborted.
\tvia condor_rm (by user ada)
...
009 (007.001.000) 2026-11-25 22:21:05 Job was aborted.
\tvia condor_rm (by user ada)
...
036 (007.-01.000) 2026-11-25 22:21:05 Cluster removed
\tMaterialized 2 jobs from 2 items.\tIncomplete
...
"""


def test_tasks_that_never_came_into_the_queue_end_with_their_cluster(tmp_path: Path) -> None:
    (tmp_path / "condor.log").write_text(_REMOVED)
    seen = CondorWatcher(tmp_path, 0, 1, [[7, 0, 5]]).poll()
    assert [(one.task, one.state) for one in seen] == [(task, "ended") for task in range(5)]
    later = CondorWatcher(tmp_path, _REMOVED.index("036"), 1, [[7, 0, 5]])  # as after a restart of the broker
    assert [one.task for one in later.poll()] == [2, 3, 4]
    assert later.poll() == []


def test_a_task_in_htcondor_s_queue_is_not_looked_at_before_it_starts(tmp_path: Path) -> None:
    rows = [{"task": n, "state": "queued", "backend_ended": 0} for n in range(3)]
    watched = Watched({"id": 1, "tasks": rows}, CondorWatcher(tmp_path, 0, 1, [[7, 0, 3]]), [], [])
    for row in rows:
        watched.note(row)
    assert watched.streams_due() == set() and not watched.is_over()
    rows[1]["state"] = "running"
    watched.note(rows[1])
    assert watched.streams_due() == watched.streams_due() == {1}
    for row in rows:
        row["backend_ended"] = 1
        watched.note(row)
    assert watched.streams_due() == set() and watched.is_over()


def test_local_tasks_are_watched_one_by_one(tmp_path: Path) -> None:
    """Ganga's one process starts a wrapper for each; a wrapper is known by its script."""
    outputs = []
    wrappers = []
    for n in range(2):
        output = tmp_path / str(n) / "output"
        script = tmp_path / str(n) / "input" / "__jobscript__"
        output.mkdir(parents=True)
        script.parent.mkdir()
        script.write_text("import time; time.sleep(600)")
        outputs.append(output)
    starter = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    native = local_native(SimpleNamespace(wrapper_pid=[starter.pid]), outputs)
    watcher = LocalWatcher(native)
    assert watcher.poll() == []
    for output in outputs:
        script = output.parent / "input" / "__jobscript__"
        wrapper = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
        (output / "__jobstatus__").write_text(f"START: now\nWRAPPER: {wrapper.pid}\nPID: 1\n")
        wrappers.append(wrapper)
    starter.kill()
    starter.wait()
    assert watcher.poll() == []
    wrappers[1].kill()
    wrappers[1].wait()
    assert [(seen.task, seen.exit_code) for seen in watcher.poll()] == [(1, None)]
    backends.remove({"backend": "Local", "native": native})
    wrappers[0].wait()
    with (outputs[0] / "__jobstatus__").open("a") as file:
        file.write("EXITCODE: 3\n")
    assert [(seen.task, seen.exit_code) for seen in watcher.poll()] == [(0, 3)]
    assert watcher.poll() == []


def test_a_local_job_whose_broker_died_at_the_wrong_moment_is_found_and_ended(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (tmp_path / "0.events").write_bytes(line(1, 0, event="start", pid=process.pid))
    native = backends.adopt({"backend": "Local", "folder": str(tmp_path), "tasks": [{"task": 0}]})
    assert native is not None
    watcher = LocalWatcher(native)
    assert watcher.poll() == []
    backends.remove({"backend": "Local", "native": native})
    process.wait()
    assert [seen.state for seen in watcher.poll()] == ["ended"]


def test_a_job_that_never_started_is_handed_over_again(tmp_path: Path) -> None:
    assert backends.adopt({"backend": "Local", "folder": str(tmp_path), "tasks": [{"task": 0}]}) is None


@pytest.mark.parametrize("delivered", [0, 1])
@pytest.mark.parametrize("kill_asked", [0, 1])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("mode", ["never", "undelivered", "any"])
@pytest.mark.parametrize("state", STATES)
def test_what_a_cell_that_is_run_again_attaches_to(
    state: str, mode: str, whole: bool, kill_asked: int, delivered: int
) -> None:
    job = {"kill_asked": kill_asked, "delivered": delivered}
    unfinished = state in ("waiting", "accepted", "queued", "running", "held") and not kill_asked
    wanted = state == "done" and whole and (mode == "any" or not delivered)
    assert attaches(job, state, mode, whole) == (mode != "never" and whole and (unfinished or wanted))
    assert not attaches({**job, "delivered": REFUSED}, state, mode, whole)
