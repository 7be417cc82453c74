"""The files of jobs, read by one process while another writes them."""

from __future__ import annotations

import os
import random
import stat
import threading
from pathlib import Path

from ganga_kernel import spool
from ganga_kernel.payload import items


def test_a_job_s_description_is_whole_at_any_time(tmp_path: Path) -> None:
    folder = spool.Spool(tmp_path).new_job("token", {"execution_count": 7})
    inputs = [{"file": "f" * 10_000, "names": [], "same": {}}]

    def write() -> None:
        for _ in range(300):
            spool.add_inputs(folder, inputs)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        assert spool.execution_count(folder) == 7
    assert sorted(path.name for path in folder.iterdir()) == ["job.json", "key", "secret"]
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in folder.iterdir()} == {0o600}


def test_a_map_s_files_grow_with_what_its_items_are_and_not_with_the_namespace(tmp_path: Path) -> None:
    def spooled(count: int) -> int:
        """Bytes of a map with a task for each of so many numbers, in a namespace of a megabyte."""
        root = tmp_path / str(count)
        chunks = [[i, i + 1] for i in range(count)]
        spool.Spool(root).new_job("token", {"map": {"only": None, "count": count, "chunks": chunks}})
        namespace = {"large": random.randbytes(10**6)}
        with (root / "objects" / "items.pkl").open("w+b") as file:
            items.write(file, namespace, ["i"], ((i,) for i in range(count)))
        return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())

    few, many = spooled(10), spooled(1010)
    assert few < 10_000 and (many - few) / 1000 < 150
