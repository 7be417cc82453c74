"""Jobs of a schedd that sees none of their files: sent there, watched by questions, fetched."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel.broker import backends
from ganga_kernel.broker.clusters import TOKEN
from ganga_kernel.condor import spooled, spooling
from ganga_kernel.condor.description import SPOOLED_LOG, JobSpec, Task, describe
from ganga_kernel.condor.eventlog import FINAL, Observation
from ganga_kernel.condor.schedd import Schedd
from ganga_kernel.condor.spooled import Follower
from ganga_kernel.errors import BackendError
from tests.harness import until
from tests.pool import SpoolingPool

REMOTE = ("remote@local", None)


@pytest.fixture
def schedd(spooling_pool: SpoolingPool, monkeypatch: pytest.MonkeyPatch) -> Iterator[Schedd]:
    """The schedd that sees nothing; what a test leaves in its queue is removed."""
    for name, value in spooling_pool.pool.environ.items():
        monkeypatch.setenv(name, value)
    found = Schedd(*REMOTE)
    yield found
    for ad in found.query("true", ["ClusterId"]):
        found.remove(str(ad["ClusterId"]), "end of the test")


@pytest.fixture
def folder(spooling_pool: SpoolingPool) -> Path:
    """A job's folder that neither schedd nor workers see."""
    found = Path(tempfile.mkdtemp(dir=spooling_pool.hidden))
    (found / "in.txt").write_text("given\n")
    return found


def described(
    folder: Path, script: str, tasks: int = 1, **more: object
) -> tuple[dict[str, str], list[dict[str, str]]]:
    spec = JobSpec(
        "/bin/sh", str(folder), ["-c", script], input_files=[str(folder / "in.txt")], memory=100, disk=10,
        output_files=["{task}.result"], log=SPOOLED_LOG, spool=True, **more,  # type: ignore[arg-type]
    )  # fmt: skip
    return describe(spec, [Task(str(task)) for task in range(tasks)])


def follow(
    follower: Follower, holds: Callable[[Observation], bool], *keys: tuple[int, int]
) -> list[Observation]:
    """Look until that holds of each proc, however long the pause is."""
    end = time.monotonic() + 60
    while not all(key in follower.state and holds(follower.state[key]) for key in keys):
        assert time.monotonic() < end, f"last seen: {follower.state}"
        follower.soon()
        follower.look()
        time.sleep(0.05)
    return [follower.state[key] for key in keys]


def ended(seen: Observation) -> bool:
    return seen.state in FINAL


def test_files_go_there_and_come_back_once(schedd: Schedd, folder: Path) -> None:
    script = "cat in.txt; echo $0 >&2; cp in.txt $0.result; exit $0"
    lines, items = described(folder, script, 2)
    lines["arguments"] = lines["arguments"][:-1] + ' $(task)"'
    cluster = spooled.submit(schedd, folder, lines, items)
    upload = spooled.upload(REMOTE, cluster)
    upload.result()
    follower = Follower(schedd)
    follower.follow(cluster, [0, 1], folder, time.time() - 10)
    seen = follow(follower, ended, (cluster, 0), (cluster, 1))
    assert [(one.state, one.exit_code) for one in seen] == [("completed", 0), ("completed", 1)]
    for task in "01":
        assert (folder / f"{task}.events").read_text() == (folder / f"{task}.result").read_text() == "given\n"
        assert (folder / f"{task}.stderr").read_text() == f"{task}\n"
        assert "Job terminated" in (folder / f"{task}.log").read_text()
    assert schedd.query(f"ClusterId == {cluster}") == []

    # Who comes later, and knows nothing of this, hears the same; and of what was removed by hand, too.
    hold, items = described(folder, "sleep 600")
    removed = spooled.submit(schedd, folder, hold, items)
    spooled.upload(REMOTE, removed).result()
    schedd.remove(f"{removed}.0", "killed in the notebook")
    other = Follower(schedd)
    other.follow(cluster, [0, 1], folder, time.time() - 600)
    other.follow(removed, [0], folder, time.time() - 600)
    late = follow(other, ended, (cluster, 0), (cluster, 1), (removed, 0))
    assert [(one.state, one.exit_code) for one in late[:2]] == [("completed", 0), ("completed", 1)]
    assert late[2].state == "removed" and "killed in the notebook" in late[2].reason


def test_output_that_was_removed_before_it_was_fetched_is_told(schedd: Schedd, folder: Path) -> None:
    lines, items = described(folder, "cp in.txt 0.result")
    cluster = spooled.submit(schedd, folder, lines, items)
    spooled.upload(REMOTE, cluster).result()
    until(lambda: schedd.query(f"ClusterId == {cluster} && JobStatus == 4"))
    schedd.remove(f"{cluster}.0", "by hand")
    follower = Follower(schedd)
    follower.follow(cluster, [0], folder, time.time() - 600)
    (seen,) = follow(follower, ended, (cluster, 0))
    assert seen.state == "removed" and "its output left the schedd before it was fetched" in seen.reason
    follower.follow(10**6, [0], folder, time.time() - 600)
    (unknown,) = follow(follower, ended, (10**6, 0))
    assert unknown.state == "removed" and "knows nothing of it" in unknown.reason


def test_output_that_cannot_be_written_is_fetched_when_it_can_and_the_others_at_once(
    schedd: Schedd, folder: Path
) -> None:
    lines, items = described(folder, "cp in.txt $0.result", 2)
    lines["arguments"] = lines["arguments"][:-1] + ' $(task)"'
    (folder / "0.result").mkdir()
    cluster = spooled.submit(schedd, folder, lines, items)
    spooled.upload(REMOTE, cluster).result()
    follower = Follower(schedd)
    follower.follow(cluster, [0, 1], folder, time.time())
    follow(follower, ended, (cluster, 1))
    (waits,) = follow(follower, lambda one: bool(one.reason), (cluster, 0))
    assert "its output at the schedd can't be fetched" in waits.reason and "nothing is lost" in waits.reason
    (folder / "0.result").rmdir()
    (seen,) = follow(follower, ended, (cluster, 0))
    assert seen.state == "completed" and (folder / "0.result").read_text() == "given\n"


def test_a_kill_leaves_what_has_ended_to_be_fetched(schedd: Schedd, folder: Path) -> None:
    lines, items = described(folder, "[ $0 = 0 ] || sleep 600; cp in.txt $0.result", 2)
    lines["arguments"] = lines["arguments"][:-1] + ' $(task)"'
    cluster = spooled.submit(schedd, folder, lines, items)
    spooled.upload(REMOTE, cluster).result()
    until(lambda: schedd.query(f"ClusterId == {cluster} && JobStatus == 4"))
    assert schedd.kill(str(cluster), "killed in the notebook") == 1
    follower = Follower(schedd)
    follower.follow(cluster, [0, 1], folder, time.time())
    seen = follow(follower, ended, (cluster, 0), (cluster, 1))
    assert [one.state for one in seen] == ["completed", "removed"] and (folder / "0.result").exists()


@given(st.sets(st.tuples(st.integers(1, 3), st.integers(0, 30))))
def test_the_history_is_asked_for_just_these(procs: set[tuple[int, int]]) -> None:
    """Each constraint, evaluated for each proc that there may be."""
    names = [f"{cluster}.{proc}" for cluster, proc in procs]
    found = {
        (cluster, proc)
        for constraint in spooling._of_procs(names)
        for cluster in range(1, 4)
        for proc in range(31)
        if eval(constraint.replace("&&", "and").replace("||", "or"), {"ClusterId": cluster, "ProcId": proc})
    }
    assert found == procs


def test_files_that_cannot_be_sent_leave_nothing_in_the_queue(schedd: Schedd, folder: Path) -> None:
    lines, items = described(folder, "true")
    lines["transfer_input_files"] = str(folder / "gone")
    with pytest.raises(BackendError, match="gone"):
        cluster = spooled.submit(schedd, folder, lines, items)
        spooled.upload(REMOTE, cluster).result()
    assert schedd.query("true") == []


def test_a_schedd_that_cannot_be_asked_is_the_jobs_reason(schedd: Schedd, folder: Path) -> None:
    follower = Follower(Schedd("remote@local", "127.0.0.1:1"))
    follower.follow(1, [0], folder, time.time())
    (seen,) = follow(follower, lambda one: bool(one.reason), (1, 0))
    assert seen.state == "queued" and "can't be looked up, as 127.0.0.1:1 doesn't answer" in seen.reason


def test_a_follower_that_is_stopped_breaks_off_what_it_fetches(
    schedd: Schedd, folder: Path, spooling_pool: SpoolingPool
) -> None:
    """A broker ends in order also while a schedd doesn't answer."""
    lines, items = described(folder, "cp in.txt 0.result")
    cluster = spooled.submit(schedd, folder, lines, items)
    spooled.upload(REMOTE, cluster).result()
    follower = spooled.follower(schedd)
    follower.follow(cluster, [0], folder, time.time())
    (remote,) = [one for one in spooling_pool.pool.processes("schedd") if "REMOTE" in one.cmdline()]
    remote.suspend()
    try:
        follower._due = 0
        looking = threading.Thread(target=follower.look)
        looking.start()
        until(lambda: follower._process)
        spooled.stop()
        looking.join(10)
        assert not looking.is_alive() and spooled.followers() == []
    finally:
        remote.resume()


def test_a_cluster_whose_sender_died_is_removed_and_one_that_was_sent_is_found(
    schedd: Schedd, folder: Path
) -> None:
    lines, items = described(folder, "true", attributes={TOKEN: "half"})
    cluster = int(schedd.put(lines, items, spool=True).cluster())
    job = {
        "backend": "HTCondor", "resources": {"spool": True, "schedd": "remote@local"}, "folder": str(folder),
        "token": "half", "created": time.time() - 60,
    }  # fmt: skip
    with (folder / "sending").open("w") as lock:  # as the process does that sends the files
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert backends.is_being_sent(job) and schedd.waits_for_files(cluster)
    assert not backends.is_being_sent(job)
    assert backends.adopt(job) is None and schedd.query(f"ClusterId == {cluster}") == []
    assert backends.adopt(job) is None  # though it is in the history

    again = spooled.submit(schedd, folder, lines, items)
    spooled.upload(REMOTE, again).result()
    assert backends.adopt(job) == str(again)


def test_a_process_holds_the_lock_of_whoever_started_it(folder: Path) -> None:
    with spooled._locked(folder / "sending") as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, pass_fds=(lock,)
        )
    number = os.open(folder / "sending", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    child.communicate(b"")
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(number)
