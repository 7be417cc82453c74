"""Batch cells that go to a schedd which sees none of the notebook's files: they are spooled to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.harness import Gate, Kernel, until
from tests.pool import SpoolingPool


@pytest.fixture(scope="module")
def kernel(spooling_pool: SpoolingPool) -> Iterator[Kernel]:
    with spooling_pool.kernel() as running:
        yield running


def test_a_cell_runs_whose_files_are_spooled(kernel: Kernel, spooling_pool: SpoolingPool) -> None:
    kernel.run("given = [1, 2]")
    cell = kernel.batch("print('there')\ngiven.append(3)\nfound = sum(given)")
    assert cell.text == "there\n" and kernel.run("found, given").value == "(6, [1, 2, 3])"
    assert spooling_pool.pool.run("condor_q", "-name", "remote@local", "-af", "ClusterId") == ""
    doctor = [sys.executable, "-m", "ganga_kernel", "doctor"]
    said = subprocess.run(doctor, env=kernel.site.environment, capture_output=True, text=True).stdout
    assert "The schedd remote@local answers" in said and "Files are sent to the schedd remote@local" in said


def test_a_map_s_files_come_back_task_by_task(kernel: Kernel) -> None:
    mapped = kernel.run(
        "%%batch --map x=range(3) --chunk 1 --allow-failures\nprint('item', x)\ny = 10 / (x - 1)"
    )
    kernel.until_panel(mapped, "failed", "done")
    assert "2 of 3 items done" in mapped.panel and "1 failed" in mapped.panel, mapped.panel
    assert kernel.run("y[0], type(y[1]).__name__, y[2]").value == "(-10.0, 'ZeroDivisionError', 10.0)"
    events = kernel.run(f"%logs {mapped.job}.2 --events").text
    assert "Job submitted" in events and "Job terminated" in events and events.count("...") > 2


def test_what_is_done_with_a_job_in_the_queue(kernel: Kernel, gate: Gate) -> None:
    waits = kernel.run("%%batch --requirements 'Arch == \"SPARC\"'\nforeign = 1")
    kernel.until_panel(waits, "queued")
    kernel.run(f"%hold {waits.job}")
    kernel.until_panel(waits, "held")
    kernel.run(f"%release {waits.job}")
    kernel.until_panel(waits, "queued")
    kernel.run(f"%kill {waits.job}")
    kernel.until_panel(waits, "killed")
    runs = kernel.run(f"%%batch\n{gate.code}slow = 1")
    kernel.until_panel(runs, "running")
    kernel.run(f"%kill {runs.job}")
    kernel.until_panel(runs, "killed")
    gate.open()
    kernel.run(f"%resubmit {runs.job}")
    assert kernel.run("slow").value == "1"


def test_a_broker_that_was_killed_goes_on_where_it_was(
    kernel: Kernel, spooling_pool: SpoolingPool, gate: Gate
) -> None:
    def queue(*what: str) -> str:
        return spooling_pool.pool.run("condor_q", "-name", "remote@local", "-af", *what)

    # While the files are on their way.
    kernel.run("big = bytes(300_000_000)")
    sent = kernel.run("%%batch\nsize = len(big)")
    kernel.listen(lambda: "Its files are being sent to the schedd." in sent.panel)
    kernel.site.kill_broker()
    assert kernel.run("size").value == "300000000"
    kernel.until_panel(sent, "done")
    assert queue("ClusterId") == ""

    # One that is killed while they are isn't sent to the end.
    kernel.run("other = bytes(range(250)) * 1_200_000")
    stopped = kernel.run("%%batch\nsize = len(other)")
    kernel.listen(lambda: "Its files are being sent to the schedd." in stopped.panel)
    kernel.run(f"%kill {stopped.job}")
    kernel.until_panel(stopped, "killed")
    until(lambda: queue("ClusterId") == "")

    # While it runs, and has ended before anybody asks.
    cell = kernel.run(f"%%batch\n{gate.code}print('once')\nlate = 7")
    kernel.until_panel(cell, "running")
    kernel.site.kill_broker()
    gate.open()
    until(lambda: queue("JobStatus").split() == ["4"])
    assert kernel.run("late").value == "7"
    kernel.until_panel(cell, "done")
    assert cell.text == "once\n" and queue("ClusterId") == ""
