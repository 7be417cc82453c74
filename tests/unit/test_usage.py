"""What tasks used, against what was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel.broker.usage import enough, figures, proposal, used
from ganga_kernel.logs import as_text
from ganga_kernel.payload.used import disk

MB, GB = 2**20, 2**30


def task(memory: float = 100 * MB, cpu: float = 90.0, wall: float = 100.0, **more: Any) -> dict[str, Any]:
    return {
        "usage": {"memory": memory, "cpu": cpu, "wall": wall, "disk": more.pop("disk", None)},
        "again": [], "started": 20.0, "ended": 20.0 + wall, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tasks", "asked", "said"),
    [
        ([task(1.2 * GB), task(0.3 * GB)], {"memory": 4 * GB},
         "It used at most 1.2 GB of 4 GB of memory: --memory 1.5GB would do."),
        ([task(3 * GB)], {"memory": 4 * GB}, ""),
        ([task(90 * MB)], {"memory": 300 * MB}, ""),
        ([task(90 * MB)], {"memory": GB},
         "It used at most 90 MB of 1 GB of memory: --memory 200MB would do."),
        ([task(3 * GB)], {"memory": 2 * GB},
         "It used 3 GB of memory, more than the 2 GB that were asked for: --memory 4GB is safer."),
        ([task()], {}, ""),
        ([task(cpu=90)], {"cpus": 4}, "It used at most 0.9 of 4 cores: --cpus 1 would do."),
        ([task(cpu=90), task(cpu=310)], {"cpus": 4}, ""),
        ([task(cpu=9, wall=10)], {"cpus": 4}, ""),
        ([task(GB, disk=GB)], {"memory": 8 * GB, "disk": 10 * GB, "cpus": 8},
         "It used at most 1 GB of 8 GB of memory and 1 GB of 10 GB of disk and 0.9 of 8 cores: "
         "--memory 1.5GB --disk 1.5GB --cpus 1 would do."),
        ([{"usage": None}], {"memory": GB}, ""),
    ],
)  # fmt: skip
def test_proposals(tasks: list[dict[str, Any]], asked: dict[str, Any], said: str) -> None:
    assert proposal(tasks, asked) == said


@given(st.floats(min_value=0, max_value=2**45))
def test_what_is_proposed_is_enough_and_settles(use: float) -> None:
    assert use < enough(use) <= max(200 * MB, 1.25 * use + GB)
    assert proposal([task(use)], {"memory": enough(use)}) == ""


def test_used_together() -> None:
    grown = task(2 * GB, again=[{"cause": "memory", "memory": 4 * GB}])
    assert used([task(disk=5), grown, {**task(), "usage": None}], {"memory": GB, "cpus": 2}) == {
        "wall": 200.0, "cpu": 180.0, "memory": 2 * GB, "disk": 5, "efficiency": 0.45, "cpus": 2,
        "memory_asked": 4 * GB,
    }  # fmt: skip
    assert used([{**task(), "usage": None}], {}) is None


def test_figures_and_their_table() -> None:
    job = {
        "tasks": [task(n * MB, cpu=n, disk=None) for n in range(1, 101)],
        "resources": {"memory": GB, "runtime": 3600}, "submitted": 5.0, "created": 1.0,
    }  # fmt: skip
    found = {one["what"]: one for one in figures(job)}
    assert {k: found["memory"][k] / MB for k in ("median", "high", "most")} == {
        "median": 50, "high": 95, "most": 100,
    }  # fmt: skip
    assert found["CPU efficiency"]["most"] == 1.0 and found["queued"]["median"] == 15.0
    assert "disk" not in found and found["memory"]["of"] == 100
    told = {
        "id": 3,
        "backend": "HTCondor",
        "native": "17",
        "clusters": ["17"],
        "state": "done",
        "folder": "/f",
        "tasks": 100,
    }
    text = as_text(
        {"job": told, "used": figures(job), "tasks": [], "more": 100, "log": "", "log_tail": ""}, False
    )
    assert [line.split() for line in text.splitlines()[2:5]] == [
        ["median", "95%", "below", "most", "asked"],
        ["memory", "50", "MB", "95", "MB", "100", "MB", "1", "GB"],
        ["CPU", "efficiency", "50%", "95%", "100%", "-"],
    ]


def test_a_job_of_one_task_has_one_column() -> None:
    job = {"tasks": [task()], "resources": {}, "submitted": None, "created": 1.0}
    told = {
        "id": 3,
        "backend": "Local",
        "native": "",
        "clusters": [],
        "state": "done",
        "folder": "/f",
        "tasks": 1,
    }
    text = as_text(
        {"job": told, "used": figures(job), "tasks": [], "more": 0, "log": "", "log_tail": ""}, False
    )
    assert [line.split() for line in text.splitlines()[2:4]] == [
        ["used", "asked"],
        ["memory", "100", "MB", "-"],
    ]


def test_disk_counts_files_in_folders_and_gives_up_on_very_many(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(os.urandom(300_000))
    (tmp_path / "loop").symlink_to(tmp_path)
    size = disk(str(tmp_path))
    assert size is not None and 300_000 <= size < 400_000
    assert disk(str(tmp_path), entries=3) is None
    assert disk(str(tmp_path / "gone")) == 0


def test_memory_of_a_child_counts() -> None:
    code = (
        "import subprocess, sys\nfrom ganga_kernel.payload.used import used\n"
        "subprocess.run([sys.executable, '-c', 'x = b\"1\" * 300_000_000'])\n"
        "print(used(1.0, None)['memory'] > 300_000_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
