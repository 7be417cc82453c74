"""Batch cells on Slurm, through Ganga's own backend: a real Slurm of one node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ganga_kernel.broker import slurmqueue
from tests.harness import Gate, Kernel, make_site
from tests.slurm import Slurm


@pytest.fixture(scope="module")
def kernel(slurm: Slurm) -> Iterator[Kernel]:
    with make_site(backend="Slurm", local_slots=3) as site:
        site.environment.update(slurm.environ)
        running = Kernel(site)
        yield running
        running.close()


def waiting(slurm: Slurm, job: str) -> dict[str, str]:
    """What Slurm knows of a job of ours that is in its queue."""
    (number,) = slurm.run("squeue", "--noheader", "--format=%i", f"--name=ganga-kernel-{job}").split()
    words = slurm.run("scontrol", "show", "job", number, "--oneliner").split()
    return {"id": number, **dict(word.split("=", 1) for word in words if "=" in word)}


def in_queue(slurm: Slurm, job: str, what: str) -> list[str]:
    """A field of what Slurm has of a job of ours, the first task's first."""
    asked = ("squeue", "--noheader", f"--format={what}", f"--name=ganga-kernel-{job}", "--sort=i")
    return slurm.run(*asked).split()


def test_a_cell_runs_and_what_it_asks_for_is_asked_of_slurm(kernel: Kernel, gate: Gate, slurm: Slurm) -> None:
    kernel.run("base = 40")
    asked = "--memory 300MB --cpus 2 --runtime 2min --group grp-of-mine --set partition=batch"
    cell = kernel.run(f"%%batch {asked}\n{gate.code}print('on a node')\nsum_ = base + 2\nsum_")
    kernel.until_panel(cell, "running")
    known = waiting(slurm, cell.job)
    assert (known["TimeLimit"], known["NumCPUs"], known["Account"]) == ("00:02:00", "2", "grp-of-mine")
    assert "mem=300M" in known["TRES"] and known["Comment"]
    gate.open()
    kernel.until_panel(cell, "done")
    assert cell.text == "on a node\n" and cell.value == "42"
    assert kernel.run("sum_").value == "42"


def test_a_map_with_a_failed_item_is_completed(kernel: Kernel) -> None:
    cell = kernel.run("%%batch --map x=[1, 0, 4] --chunk 1\nprint('x is', x)\ninverse = 1 / x")
    kernel.until_panel(cell, "failed")
    assert "2 of 3 items done, 1 failed" in cell.panel
    assert kernel.run("inverse").error.startswith("ZeroDivisionError")
    allowed = kernel.run("%%batch --allow-failures --map x=[1, 0, 4]\ninverse = 1 / x")
    kernel.until_panel(allowed, "done")
    assert kernel.run("inverse[0], type(inverse[1]).__name__, inverse[2]").value == (
        "(1.0, 'ZeroDivisionError', 0.25)"
    )


def test_kills_of_the_notebook_and_of_slurm(
    kernel: Kernel, gate: Gate, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = kernel.run(f"%%batch --map x=range(3) --chunk 1\n{gate.code}left = x")
    kernel.listen(lambda: "3 tasks run" in cell.panel)
    monkeypatch.setenv("SLURM_CONF", slurm.environ["SLURM_CONF"])
    ids, (token,) = in_queue(slurm, cell.job, "%i"), set(in_queue(slurm, cell.job, "%k"))
    assert slurmqueue.find(token, 3) == slurmqueue.native(ids), "so a broker finds them after another's death"
    assert slurmqueue.find("another", 3) is None
    kernel.run(f"%kill {cell.job}.1")
    kernel.listen(lambda: "Items 1: killed. This task was killed on request." in cell.panel)
    slurm.run("scancel", ids[0])
    kernel.listen(lambda: "It was cancelled (scancel)." in cell.panel)
    kernel.run(f"%kill {cell.job}")
    kernel.until_panel(cell, "lost", "killed")
    assert slurm.run("squeue", "--noheader", f"--name=ganga-kernel-{cell.job}") == ""


def test_what_slurm_has_no_room_for_says_why_it_waits_and_what_it_refuses_why(
    kernel: Kernel, slurm: Slurm
) -> None:
    cell = kernel.run("%%batch --set hold\n1")
    assert "KEY=VALUE" in cell.error
    greedy = kernel.run("%%batch --memory 900GB\n1")
    kernel.until_panel(greedy, "refused")
    assert "Slurm refused the job: sbatch: error: Memory specification can not be satisfied" in greedy.panel
    assert "the kernel relies on it" in kernel.run("%%batch --set array=1-2\n1").error
    slow = kernel.run("%%batch --set begin=now+1hour\n1")
    kernel.listen(lambda: "Its time to begin has not come." in slow.panel)
    assert "disk" in kernel.run("%%batch --disk 1GB\n1").error
    slurm.run("scontrol", "hold", waiting(slurm, slow.job)["id"])
    kernel.listen(lambda: ": held (" in slow.panel)
    kernel.run(f"%kill {slow.job}")
    kernel.until_panel(slow, "killed")


def test_a_broker_that_is_killed_submits_none_twice(kernel: Kernel, gate: Gate, slurm: Slurm) -> None:
    cell = kernel.run(f"%%batch\n{gate.code}survived = 1")
    kernel.until_panel(cell, "running")
    kernel.site.kill_broker()
    gate.open()
    kernel.until_panel(cell, "done")
    assert kernel.run("survived").value == "1"
    told = slurm.run("squeue", "--states=all", "--noheader", f"--name=ganga-kernel-{cell.job}").split("\n")
    assert len([line for line in told if line.strip()]) == 1
