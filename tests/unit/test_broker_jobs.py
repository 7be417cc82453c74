"""Accepting jobs while the rest of the broker changes."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from ganga_kernel.broker import backends
from ganga_kernel.broker.jobs import Jobs
from ganga_kernel.broker.session import GangaSession
from ganga_kernel.broker.store import Store
from ganga_kernel.errors import BrokerError
from ganga_kernel.settings import GangaKernel
from ganga_kernel.spool import Spool
from tests.jobs import new_job


def test_no_job_is_accepted_once_ganga_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checking, failed = threading.Event(), threading.Event()

    def check(*_: object) -> None:
        checking.set()
        failed.wait()

    def boot(_: object) -> None:
        checking.wait()
        raise BrokerError("Ganga can't be loaded.")

    monkeypatch.setattr(backends, "check", check)
    monkeypatch.setattr(GangaSession, "boot", boot)

    async def scene(store: Store) -> None:
        jobs = Jobs(GangaKernel(state_dir=str(tmp_path)), store, lambda *_: None)
        adding = asyncio.ensure_future(jobs.add(new_job("t"), "never"))
        await jobs.run()
        failed.set()
        with pytest.raises(BrokerError, match="can't be loaded"):
            await adding
        await jobs.close()

    store = Store(tmp_path / "jobs.sqlite")
    asyncio.run(scene(store))
    assert store.accepted() == []
    store.close()


def test_the_next_job_is_made_ready_while_ganga_submits_one_and_none_is_refused_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ganga takes jobs in their order, two at a time; one in its hands when the broker ends stays so."""
    asked: list[str] = []
    free, enough = threading.Semaphore(0), threading.Event()

    def submit(_: object, token: str, *__: object) -> int:
        asked.append(token)
        free.acquire()
        return len(asked)

    def prepare(_: object, job: dict[str, Any], __: object) -> tuple[dict[str, Any], list[list[str]]]:
        if job["token"] == "4":
            enough.set()
        return {}, [["true"]]

    for name, does in {"boot": lambda _: None, "submit": submit, "backend_of": lambda *_: None,
                       "backends_of": lambda *_: [], "output_folders": lambda *_: [],
                       "close": lambda _: None}.items():  # fmt: skip
        monkeypatch.setattr(GangaSession, name, does)
    monkeypatch.setattr(backends, "check", lambda *_: None)
    monkeypatch.setattr(backends, "check_site", lambda *_: None)
    monkeypatch.setattr(backends, "prepare", prepare)
    monkeypatch.setattr(backends, "native", lambda *_: "1")

    async def scene(store: Store) -> None:
        jobs = Jobs(GangaKernel(state_dir=str(tmp_path)), store, lambda *_: None)
        running = asyncio.ensure_future(jobs.run())
        for number in range(6):
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "secret").write_text("00")
            (folder / "job.json").write_text("{}")
            job = {**new_job(str(number)), "backend": "HTCondor", "tasks": 1, "folder": str(folder)}
            await jobs.add(job, "never")
        free.release(2)  # Ganga submits 0 and 1; 2 is in its hands, 3 is next, 4 is ready
        try:
            assert await asyncio.to_thread(enough.wait, 20)
        finally:
            running.cancel()
            closing = asyncio.ensure_future(jobs.close())
            await asyncio.sleep(0)
            free.release(6)
            await closing

    store = Store(tmp_path / "jobs.sqlite")
    asyncio.run(scene(store))
    found = [store.by_token(str(number)) for number in range(6)]
    assert asked in (["0", "1", "2"], ["0", "1", "2", "3"])
    assert [job and job["handed"] for job in found] == [2, 2, 1, 1, 1, 0]
    assert all(job and job["tasks"][0]["state"] != "refused" for job in found)
    store.close()


def test_a_map_whose_failures_are_allowed_is_attached_to_though_a_task_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "check", lambda *_: None)
    (tmp_path / "job.json").write_text("{}")
    (tmp_path / "0.result").write_text("result")
    mapped = {
        "only": None,
        "count": 2,
        "chunks": [[0, 1], [1, 2]],
        "budget": None,
        "rehearse": False,
        "allow_failures": True,
    }
    job = {**new_job("first"), "folder": str(tmp_path), "map": mapped, "fingerprints": ["same"]}

    async def attached(store: Store, token: str) -> bool:
        jobs = Jobs(GangaKernel(state_dir=str(tmp_path)), store, lambda *_: None)
        found = await jobs.add({**job, "token": token}, "undelivered")
        return bool(found["token"] == "first")

    store = Store(tmp_path / "jobs.sqlite")
    number = store.add(job)
    store.change_task(
        number, 0, state="done", ended=1.0, result={"file": "0.result", "size": 6, "ended": 1.0}
    )
    store.change_task(number, 1, state="lost", ended=1.0)
    assert asyncio.run(attached(store, "again"))
    (tmp_path / "0.result").unlink()
    assert not asyncio.run(attached(store, "once more"))
    store.close()


def test_a_resubmission_that_is_asked_for_again_meanwhile_is_one_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when its answer takes too long: what the first request stored, the second one leaves alone."""
    monkeypatch.setattr(backends, "check", lambda *_: None)
    (tmp_path / "job.json").write_text('{"source": "1"}')

    made: list[str] = []
    copy_job = Spool.copy_job

    def copied(spool: Spool, folder: Path, token: str, described: Any) -> Path:
        made.append(token)
        return copy_job(spool, folder, token, described)

    monkeypatch.setattr(Spool, "copy_job", copied)

    async def scene(store: Store) -> list[dict[str, Any]]:
        settings = GangaKernel(state_dir=str(tmp_path / "state"), spool_dir=str(tmp_path / "spool"))
        jobs = Jobs(settings, store, lambda *_: None)
        asked = (jobs.resubmit(1, "again", False, {"memory": 7}, 5) for _ in range(2))
        return await asyncio.gather(*asked)

    store = Store(tmp_path / "jobs.sqlite")
    store.add({**new_job("first"), "tasks": 1, "folder": str(tmp_path)})
    store.change_task(1, 0, state="failed", ended=1.0, backend_ended=1)
    first, second = asyncio.run(scene(store))
    assert first["id"] == second["id"] == 2 and first["resources"] == {"memory": 7}
    assert made == ["again"]  # a second time would be another key
    store.close()


def test_what_is_asked_for_a_job_in_the_queue_counts_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "change", lambda *_: None)
    told: list[dict[str, Any]] = []

    async def scene(store: Store) -> None:
        jobs = Jobs(GangaKernel(state_dir=str(tmp_path)), store, lambda _, what: told.append(what))
        row = store.job(1) or {}
        jobs._watching.add(row, [])
        jobs._watching.explain(1, "No slot has as much memory.")
        await jobs.change(1, {"memory": 7})
        assert row["resources"] == {"memory": 7}  # by which a retry with more memory goes, for example

    store = Store(tmp_path / "jobs.sqlite")
    store.add({**new_job("first"), "tasks": 1, "backend": "HTCondor", "folder": str(tmp_path)})
    store.change_task(1, 0, state="queued")
    store.change_job(1, handed=2, native="1")
    asyncio.run(scene(store))
    assert [one["job"]["reason"] for one in told] == ["No slot has as much memory.", ""]
    store.close()
