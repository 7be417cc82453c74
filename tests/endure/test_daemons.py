"""200 tasks, and each of HTCondor's daemons killed while they run and while they end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.endure.daemons import endurance


@pytest.mark.timeout(3600)
def test_of_200_tasks_no_result_and_no_line_is_lost_or_doubled(tmp_path: Path) -> None:
    with endurance(tmp_path, tasks=200, pause=1.0, lease=60) as running:
        running.until_all_run()
        running.vacate(0.3)
        running.kill("shadow", 0.3)
        running.kill("schedd")
        running.until_all_run()
        running.kill("starter", 0.3)
        running.vacate(0.1)
        running.kill("startd")
        running.until_all_run()
        running.kill("schedd")
        running.kill("shadow", 0.2)
        running.until_all_run()
        running.gate.open()  # and while they end
        running.kill("shadow", 0.1)
        running.kill("starter", 0.1)
        running.kill("schedd")
        running.finish()
        assert not running.mistakes()
