"""A map on HTCondor is divided by the slots that match; tasks hand on items by the time that these take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Cell, Gate, Kernel, make_site, until
from tests.pool import Pool

#: Two slots of the pool.
TWO = "--requirements 'SlotID <= 2'"


@pytest.fixture(scope="module")
def kernel(pool: Pool) -> Iterator[Kernel]:
    with make_site(backend="HTCondor", chunk_seconds=0.5, idle_pause=0.0) as site:
        site.environment.update(pool.environ)
        running = Kernel(site)
        yield running
        running.close()


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """A file to which each item adds its number, whenever it begins."""
    return tmp_path / "ran"


def started(kernel: Kernel, gate: Gate, ran: Path, items: int = 6) -> Cell:
    """A map of two tasks at first, each of which is at its first item, and has handed on the others."""
    note = f"open({str(ran)!r}, 'a').write(f'{{x}} ')\n"
    cell = kernel.run(f"%%batch {TWO} --map x=range({items})\n{note}{gate.code}print('saw', x)\ny = x * x")
    kernel.listen(lambda: f"{items} tasks" in cell.panel and "more" in cell.panel.split("cluster ")[1][:20])
    return cell


def delivered(kernel: Kernel, cell: Cell, ran: Path, items: int = 6) -> dict[int, int]:
    """Wait for the end, see that all came back in order, and return how often each item was begun."""
    kernel.until_panel(cell, "done")
    assert f"{items} of {items} items done" in cell.panel
    assert kernel.run("y").value == str([x * x for x in range(items)])
    return dict(Counter(map(int, ran.read_text().split())))


def clusters(kernel: Kernel, pool: Pool, ran: Path) -> set[str]:
    """The clusters in the queue of the job whose cell names a file."""
    described = (kernel.site.state / "spool" / "jobs").glob("*/job.json")
    (folder,) = (path.parent for path in described if str(ran) in path.read_text())
    of_job = f'GangaKernelJob == "{folder.name}"'
    return set(pool.run("condor_q", "-constraint", of_job, "-af", "ClusterId").split())


def test_what_tasks_don_t_come_to_in_time_becomes_tasks_of_their_own(
    kernel: Kernel, gate: Gate, ran: Path
) -> None:
    cell = started(kernel, gate, ran)
    gate.open()
    assert delivered(kernel, cell, ran) == dict.fromkeys(range(6), 1)
    shown = [
        message["content"]["data"]["text/plain"]
        for message in cell.messages
        if message["content"].get("metadata", {}).get("ganga_kernel", {}).get("role") == "items"
    ]
    assert [line for line in shown[-1].splitlines() if "saw" in line] == [f"  saw {x}" for x in range(6)]


def test_there_is_a_task_for_each_slot(kernel: Kernel) -> None:
    described = kernel.run(f"%%batch --dry-run {TWO} --map x=range(50)\ny = x").text
    assert described.split()[-6:] == ["task", "from", "(", "0", "1", ")"]
    cell = kernel.run(f"%%batch {TWO} --map x=range(100)\ny = x * x")
    kernel.until_panel(cell, "done")
    assert "100 of 100 items done" in cell.panel
    assert kernel.run("y == [x * x for x in range(100)]").value == "True"


def test_a_kill_ends_all_clusters_of_a_job(kernel: Kernel, gate: Gate, ran: Path, pool: Pool) -> None:
    cell = started(kernel, gate, ran)
    assert len(clusters(kernel, pool, ran)) >= 2
    kernel.run(f"%kill {cell.job}")
    kernel.until_panel(cell, "killed")
    assert not clusters(kernel, pool, ran)


def test_a_broker_that_dies_then_loses_none(kernel: Kernel, gate: Gate, ran: Path) -> None:
    cell = started(kernel, gate, ran)
    kernel.site.kill_broker()
    gate.open()
    assert delivered(kernel, cell, ran) == dict.fromkeys(range(6), 1)


def test_a_task_that_is_sent_back_keeps_to_the_items_that_it_has(
    kernel: Kernel, gate: Gate, ran: Path, pool: Pool
) -> None:
    cell = started(kernel, gate, ran)
    first = min(clusters(kernel, pool, ran), key=int)
    pool.run("condor_vacate_job", "-fast", f"{first}.0")
    until(lambda: ran.read_text().split().count("0") == 2)
    gate.open()
    begun = delivered(kernel, cell, ran)
    assert begun == {0: 2, **dict.fromkeys(range(1, 6), 1)}


def test_what_failed_of_all_clusters_runs_again(kernel: Kernel, gate: Gate, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    code = f"{gate.code}if x in (0, 4): open({str(mended)!r})\ny = x"
    cell = kernel.run(f"%%batch {TWO} --map x=range(6)\n{code}")
    kernel.listen(lambda: "6 tasks" in cell.panel)
    gate.open()
    kernel.until_panel(cell, "failed")
    assert "4 of 6 items done, 2 failed" in cell.panel
    mended.touch()
    again = kernel.run(f"%resubmit {cell.job} --failed")
    kernel.until_panel(again, "done")
    assert kernel.run("y").value == "[0, 1, 2, 3, 4, 5]"


def test_the_first_item_rehearses_for_the_others(kernel: Kernel, gate: Gate, ran: Path, pool: Pool) -> None:
    code = f"open({str(ran)!r}, 'a').write(f'{{x}} ')\n{gate.code}y = x * x"
    cell = kernel.run(f"%%batch --rehearse --map x=range(6)\n{code}")
    kernel.until_panel(cell, "running")
    until(ran.exists)
    assert "Item 0 first, alone (--rehearse)" in cell.panel and "6 tasks" in cell.panel
    (first,) = clusters(kernel, pool, ran)
    assert pool.run("condor_q", first, "-af", "ProcId").split() == ["0"]
    gate.open()
    assert delivered(kernel, cell, ran) == dict.fromkeys(range(6), 1)
    assert "Item 0, alone first, took" in cell.panel and "asked for with 200 MB" in cell.panel
    asked = ("condor_history", "-limit", "5", "-af", "RequestMemory")
    until(lambda: set(pool.run(*asked).split()) == {"200"})  # results are here before their job is history


def test_when_the_rehearsal_fails_the_others_stay_at_home(kernel: Kernel, ran: Path) -> None:
    code = f"open({str(ran)!r}, 'a').write(f'{{x}} ')\n1 / x\nz = x"
    cell = kernel.run(f"%%batch --rehearse --map x=range(4)\n{code}")
    kernel.until_panel(cell, "failed")
    assert ran.read_text() == "0 " and "so the others were not submitted" in cell.panel
    assert "ZeroDivisionError" in kernel.run("z").error
