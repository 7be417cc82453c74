"""The job store, and who owns it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganga_kernel.broker import lease as leases
from ganga_kernel.broker.lease import Lease
from ganga_kernel.broker.store import Store
from ganga_kernel.broker.summary import summary
from ganga_kernel.errors import BrokerElsewhere, BrokerUnavailable
from tests.jobs import new_job


def test_the_store_keeps_jobs_over_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "jobs.sqlite")
    number = store.add(new_job("t"))
    store.change_task(number, 1, state="running", error={"ename": "E"})
    store.add_outputs(number, 0, [(None, {"type": "stream"}), (None, {"type": "error"})])
    store.close()
    store = Store(tmp_path / "jobs.sqlite")
    job = store.by_token("t")
    assert job is not None and job["names"] == ["a"] and job["tasks"][1]["error"] == {"ename": "E"}
    assert [one["number"] for one in store.outputs(number, 1)] == [1]
    assert store.forget_outputs(number, 0) == 2 == store.first_output(number)
    assert store.add_outputs(number, 0, [(None, {"type": "stream"})]) == 2 == store.first_output(number)
    assert summary(job)["state"] == "running"
    assert [one["id"] for one in store.unfinished()] == [number]
    store.close()


def test_a_store_belongs_to_one_process(tmp_path: Path) -> None:
    store = Store(tmp_path / "jobs.sqlite")
    store.add(new_job("t"))
    code = (
        "import sqlite3, sys\n"
        f"db = sqlite3.connect({str(tmp_path / 'jobs.sqlite')!r}, timeout=0.1)\n"
        "try:\n    db.execute('INSERT INTO jobs (token) VALUES (1)')\n"
        "except sqlite3.OperationalError as error:\n    sys.exit(str(error))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "locked" in done.stderr
    store.close()


def test_a_damaged_store_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(BrokerUnavailable, match="move it away"):
        Store(tmp_path / "jobs.sqlite")


def test_a_store_of_another_version_is_not_touched(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "jobs.sqlite")
    database.execute("CREATE TABLE jobs (id INTEGER)")
    database.close()
    with pytest.raises(BrokerUnavailable, match="another version"):
        Store(tmp_path / "jobs.sqlite")


def test_one_owner_on_a_host(tmp_path: Path) -> None:
    first, second = Lease(tmp_path), Lease(tmp_path)
    assert first.acquire() and not second.acquire()
    first.release()
    assert second.acquire()
    second.release()


def other_host(heartbeat: float) -> str:
    """The lease file of a broker on another host."""
    return json.dumps({"host": "elsewhere", "pid": 7, "boot": "b", "heartbeat": heartbeat})


def test_a_live_owner_on_another_host_is_asked_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "PATIENCE", 0.3)
    (tmp_path / "lease.json").write_text(other_host(time.time()))
    with pytest.raises(BrokerElsewhere, match="elsewhere") as raised:
        Lease(tmp_path).acquire()
    assert "state_dir" in raised.value.remedy
    assert not (tmp_path / "handover.json").exists()


def test_an_abandoned_lease_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lease.json").write_text(other_host(time.time() - 2 * leases.ABANDONED))
    lease = Lease(tmp_path)
    assert lease.acquire()
    lease.release()


def test_a_wish_of_another_host_is_seen(tmp_path: Path) -> None:
    lease = Lease(tmp_path)
    assert lease.acquire() and not lease.wanted()
    (tmp_path / "handover.json").write_text(other_host(time.time()))
    assert lease.wanted()
    lease.release()


def test_the_newest_job_of_a_fingerprint_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path / "jobs.sqlite")
    known = (["x"], ["x", "z"], ["z"], [])
    numbers = [store.add({**new_job(f"{n}"), "fingerprints": texts}) for n, texts in enumerate(known)]
    for asked, expected in ((["x"], numbers[1]), (["z", "x"], numbers[2]), (["y", "x"], numbers[1])):
        found = store.by_fingerprint(asked)
        assert found is not None and found["id"] == expected
    assert store.by_fingerprint(["y"]) is None and store.by_fingerprint([]) is None
    store.close()


def test_a_job_is_handed_over_once_and_not_after_a_kill(tmp_path: Path) -> None:
    store = Store(tmp_path / "jobs.sqlite")
    first, second = store.add(new_job("a")), store.add(new_job("b"))
    store.change_job(second, kill_asked=1)
    assert [store.begin_handing(number) for number in (first, first, second)] == [True, False, False]
    store.close()
