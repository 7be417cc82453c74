"""The files of jobs, read by one process while another writes them."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from ganga_kernel import spool


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
