"""Accepting jobs while the rest of the broker changes."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from ganga_kernel.broker import backends
from ganga_kernel.broker.jobs import Jobs
from ganga_kernel.broker.session import GangaSession
from ganga_kernel.broker.store import Store
from ganga_kernel.errors import BrokerError
from ganga_kernel.settings import GangaKernel
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


def test_a_map_whose_failures_are_allowed_is_attached_to_though_a_task_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "check", lambda *_: None)
    (tmp_path / "job.json").write_text("{}")
    (tmp_path / "0.result").write_text("result")
    mapped = {"only": None, "count": 2, "chunks": [[0, 1], [1, 2]], "allow_failures": True}
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
