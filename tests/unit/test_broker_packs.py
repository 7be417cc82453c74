"""Packs before jobs are submitted: made once for all that ask, and what a job gets of it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ganga_kernel import spool
from ganga_kernel.broker import backends
from ganga_kernel.broker.jobs import Jobs
from ganga_kernel.broker.packs import REASON, Packs
from ganga_kernel.broker.session import GangaSession
from ganga_kernel.broker.store import Store
from ganga_kernel.errors import BackendError
from ganga_kernel.packing.packname import PackName, all_in, parsed
from ganga_kernel.settings import GangaKernel
from ganga_kernel.spool import Spool
from tests.jobs import new_job

MB = 2**20


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment without packages."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


def described(root: Path, token: str, python: str) -> Path:
    """The folder of a job."""
    namespace = root / "namespace.pkl"
    namespace.write_bytes(bytes(MB))
    return Spool(root).new_job(
        token,
        {
            "python": python, "sys_path": [], "environ": dict(os.environ), "namespace": str(namespace),
            "buffers": [], "map": None, "modules": None, "files": {},
        },
    )  # fmt: skip


def test_jobs_that_ask_at_once_get_one_pack_and_others_their_error(tmp_path: Path, bare: str) -> None:
    first, second = described(tmp_path, "a", bare), described(tmp_path, "b", bare)
    broken = described(tmp_path, "c", "/nowhere/python")
    objects = Spool(tmp_path).objects

    async def scene() -> list[Any]:
        packs = Packs(tmp_path)
        return await asyncio.gather(*map(packs.give, (first, second, broken)), return_exceptions=True)

    *none, error = asyncio.run(scene())
    assert none == [None, None]
    (pack,) = all_in(objects)
    assert spool.pack(first) == spool.pack(second) == pack and spool.pack(broken) is None
    assert isinstance(error, BackendError) and "can't be packed: The notebook's Python, /nowhere/" in str(
        error
    )
    copied = Spool(tmp_path).copy_job(first, "again", None)
    assert spool.pack(copied) is None  # a package may have been installed meanwhile


@pytest.mark.parametrize("asked", [None, 5 * 2**30])
def test_a_job_asks_for_the_disk_that_its_pack_needs(tmp_path: Path, asked: int | None) -> None:
    folder = described(tmp_path, "a", "python")
    pack = tmp_path / str(PackName("d", "x86_64", "2.34", 700 * 1024))
    pack.write_bytes(bytes(3 * MB))
    spool.set_pack(folder, pack)
    job: dict[str, Any] = {**new_job("a"), "id": 1, "tasks": [{}], "folder": str(folder), "limits": {}}
    job |= {"python": {"executable": "python", "version": [3, 11, 2]}, "resources": {"pack": True}}
    if asked is not None:
        job["resources"]["disk"] = asked
    fields, (command,) = backends.prepare("HTCondor", job, tmp_path)
    assert str(pack) in fields["input_files"] and command[2] == pack.name
    assert fields["disk"] == 5 * 1024 if asked else 704 <= fields["disk"] <= 706
    assert parsed(pack.name).kilobytes == 700 * 1024


def test_a_job_that_is_killed_while_it_is_packed_stays_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, does in {"boot": lambda _: None, "close": lambda _: None}.items():
        monkeypatch.setattr(GangaSession, name, does)
    monkeypatch.setattr(backends, "check", lambda *_: None)
    folders = [described(tmp_path, token, "/nowhere/python") for token in ("a", "b")]
    common = {"backend": "HTCondor", "resources": {"pack": True}, "tasks": 1}

    async def scene(store: Store) -> None:
        told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        settings = GangaKernel(state_dir=str(tmp_path), spool_dir=str(tmp_path))
        jobs = Jobs(settings, store, lambda _, said: told.put_nowait(said["job"]))
        running = asyncio.ensure_future(jobs.run())
        for token, folder in zip("ab", folders, strict=True):
            await jobs.add({**new_job(token), **common, "folder": str(folder)}, "never")
        reasons = set()
        ends: dict[int, str] = {}
        while len(ends) < 2:
            job = await told.get()
            reasons.add(job["reason"])
            if job["reason"] == REASON and job["id"] == 2:
                await jobs.kill(2)
            if job["state"] in ("refused", "killed"):
                ends[job["id"]] = job["state"]
        while jobs._handing._packing:
            await asyncio.sleep(0.05)
        assert ends == {1: "refused", 2: "killed"} and REASON in reasons
        assert jobs.job(2)["state"] == "killed"
        assert "it doesn't run" in jobs.job(1)["reason"]
        running.cancel()
        await jobs.close()

    store = Store(tmp_path / "jobs.sqlite")
    asyncio.run(scene(store))
    store.close()
    assert json.loads((folders[0] / "job.json").read_text()).get("pack") is None


@pytest.mark.parametrize(
    ("backend", "resources", "says"),
    [
        ("Local", {"pack": True}, "a local job runs in it as it is"),
        ("Local", {"pack": True, "python": "python3"}, "and --python names another"),
        ("Slurm", {"pack": True}, "The backend Slurm can't be asked for pack"),
    ],
)
def test_where_it_makes_no_sense_it_is_refused(backend: str, resources: dict[str, Any], says: str) -> None:
    backends.check_resources(backend, {"pack": False})
    with pytest.raises(BackendError, match=says):
        backends.check_resources(backend, resources)
