"""HTCondor's daemons are killed while a few tasks run; all of them, and with 200 tasks: ``make endure``."""

from __future__ import annotations

from pathlib import Path

from tests.endure.daemons import endurance


def test_no_result_and_no_line_is_lost_or_doubled_when_daemons_are_killed(tmp_path: Path) -> None:
    with endurance(tmp_path, tasks=6, pause=0.2, lease=60) as running:
        running.until_all_run()
        running.vacate(0.3)
        running.kill("shadow", 0.3)
        running.kill("starter", 0.3)
        running.kill("schedd")
        running.until_all_run()
        running.finish()
        assert not running.mistakes()
