"""A batch cell with --map runs once for each item, and its names come back as lists."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.harness import Cell, Kernel, make_site
from tests.kernel.test_dataflow import Gate


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A kernel whose site runs three local tasks at once."""
    with make_site(local_slots=3) as site:
        running = Kernel(site)
        yield running
        running.close()


@pytest.fixture
def gate(kernel: Kernel, request: pytest.FixtureRequest) -> Iterator[Gate]:
    found = Gate(kernel.site.root / f"open-{request.node.name}")
    yield found
    found.open()


def mapped(kernel: Kernel, line: str, code: str, state: str = "done", **metadata: Any) -> Cell:
    """Run a map until its panel says that its job ended so."""
    cell = kernel.run(f"%%batch {line}\n{code}", metadata)
    assert cell.reply["status"] == "ok", cell.error
    return kernel.until_panel(cell, state)


def items_of(kernel: Kernel, cell: Cell) -> list[str]:
    """The lines of what the items showed."""
    kernel.listen(lambda: _shown(cell))
    (shown,) = _shown(cell)
    return shown.splitlines()


def _shown(cell: Cell) -> list[str]:
    return [
        message["content"]["data"]["text/plain"]
        for message in cell.messages
        if message["content"].get("metadata", {}).get("ganga_kernel", {}).get("role") == "items"
    ]


def test_names_come_back_as_lists_in_item_order(kernel: Kernel) -> None:
    kernel.run("offset = 100\ndef shifted(n): return n + offset\nx = 'kept'")
    cell = mapped(
        kernel,
        '--map x=[n * 2 for n in range(10)] --map a,b=zip("abcdefghij", range(10))',
        "y = shifted(x)\nif b != 3: most = a\nprint('saw', a)\na * b",
    )
    assert kernel.run("y, x").value == f"({[100 + 2 * n for n in range(10)]}, 'kept')"
    assert kernel.run("most[:3], most[3]").value == (
        "(['a', 'b', 'c'], <most[3] is unavailable: item 3 did not bind it>)"
    )
    number = cell.reply["execution_count"]
    assert kernel.run(f"Out[{number}] == [a * b for a, b in zip('abcdefghij', range(10))]").value == "True"
    assert "10 of 10 items done" in cell.panel and "3 tasks" in cell.panel
    assert items_of(kernel, cell)[:5] == ["Item 0", "  saw a", "  ''", "Item 1", "  saw b"]
    assert not cell.text and cell.value is None


def test_notebook_s_classes_and_functions_as_items(kernel: Kernel) -> None:
    kernel.run("import math\nclass Cut:\n    def __init__(self, at): self.at = at\n"
               "    def __call__(self, v): return math.floor(v) > self.at\n"
               "cuts = [Cut(1), Cut(2), lambda v: math.ceil(v) > 2]")  # fmt: skip
    mapped(kernel, "--map cut=cuts", "passed = cut(2.5)\nsame = cut if isinstance(cut, Cut) else None")
    assert kernel.run("passed, isinstance(same[0], Cut)").value == "([True, False, True], True)"


def test_tags_and_metadata_are_as_good(kernel: Kernel) -> None:
    metadata = {"tags": ["batch:map=n=range(4)"], "batch": {"chunk": 2}}
    cell = kernel.batch("square = n * n", metadata=metadata)
    assert "2 tasks" in cell.panel and "4 of 4 items done" in cell.panel
    assert kernel.run("square").value == "[0, 1, 4, 9]"


def test_failed_items_are_named_and_nothing_is_delivered(kernel: Kernel) -> None:
    kernel.run("inverse = 'old'")
    cell = mapped(kernel, "--map x=[1, 2, 0, 4, 0]", "print('x is', x)\ninverse = 1 / x", "failed")
    assert "3 of 5 items done, 2 failed" in cell.panel
    assert "Item 2: ZeroDivisionError: division by zero" in cell.panel
    kernel.listen(lambda: cell.error)
    assert cell.error.startswith("ZeroDivisionError: item 2: division by zero (2 of 5 items of job")
    said = [line for line in items_of(kernel, cell) if line.startswith(("Item", "  x"))]
    failed, good = "Item {}: ZeroDivisionError: division by zero", "Item {}"
    assert said[::2] == [failed.format(2), failed.format(4), *(good.format(n) for n in (0, 1, 3))]
    assert said[1::2] == [f"  x is {x}" for x in (0, 0, 1, 2, 4)]
    later = kernel.run("inverse")
    assert later.error.startswith("ZeroDivisionError: item 2: division by zero")
    assert "failed: 2, 4." in later.error and "--allow-failures" in later.error


def test_failures_that_are_allowed_stand_in_the_list(kernel: Kernel) -> None:
    cell = mapped(kernel, "--allow-failures --map x=[1, 0, 4]", "inverse = 1 / x")
    assert "2 of 3 items done, 1 failed" in cell.panel and not cell.error
    assert kernel.run("inverse").value == "[1.0, ZeroDivisionError('division by zero'), 0.25]"


def test_what_can_t_be_mapped_is_the_cell_s_error_and_submits_nothing(kernel: Kernel) -> None:
    for line, error in [
        ("--map x=missing", "NameError: name 'missing' is not defined"),
        ("--map x=range(", "OptionError"),
        ("--map 'x=1 +'", "SyntaxError"),
        ("--map x=5", "TypeError"),
        ("--map x=[]", "MapError: --map x has no items"),
        ("--map x=range(2) --map y=range(3)", "MapError: The maps of a cell go together"),
        ("--map x,y=[(1,2),(3,)]", "MapError: --map x,y can't unpack (3,): it has 1 values."),
        ("--map x=__import__('itertools').count()", "MapError: --map x has more than 1,000,000 items."),
        ("--map x=[(i for i in [])]", "ItemError: Item 0 can't travel"),
    ]:
        cell = kernel.run(f"%%batch {line}\nnever = x")
        assert cell.reply["status"] == "error" and cell.error.startswith(error), cell.error
        assert not cell.panel
    assert kernel.run("%batch --map x=y").error.startswith("OptionError: A map belongs to one cell")
    assert kernel.run("never").error.startswith("NameError")


def test_it_reads_pending_names_and_is_read_by_batch_cells(kernel: Kernel, gate: Gate) -> None:
    kernel.run(f"%%batch\n{gate.code}many = [3, 4]\nfactor = 10")
    by_name = kernel.send("%%batch --map x=range(2)\nscaled = x * factor")
    kernel.finish(by_name)
    by_item = kernel.send("%%batch --map x=many\nitem = x * factor")
    after = kernel.send("%%batch\ntotal = sum(item) + sum(scaled)")
    kernel.listen(lambda: by_item.states == ["busy"])
    assert not by_item.panel
    gate.open()
    kernel.finish(by_item)
    kernel.finish(after)
    kernel.until_panel(after, "done")
    assert kernel.run("scaled, item, total").value == "([0, 10], [30, 40], 80)"


def test_changes_in_place_stay_in_the_item(kernel: Kernel) -> None:
    kernel.run("shared = [0]")
    cell = mapped(kernel, "--map x=range(4)", "shared[0] += x\nseen = shared[0]")
    assert kernel.run("shared, seen").value == "([0], [0, 1, 2, 3])"
    assert "What an item changes in shared stays in that item." in cell.panel


def test_a_seed_makes_random_numbers_the_same_again(kernel: Kernel) -> None:
    for name in ("first", "second"):
        mapped(kernel, "--seed 7 --map x=range(4)", f"import random\n{name} = random.random()")
    assert kernel.run("first == second, len(set(first))").value == "(True, 4)"


def test_a_kill_ends_all_tasks(kernel: Kernel) -> None:
    cell = kernel.run("%%batch --map x=range(3)\nimport time\nprint('here')\ntime.sleep(600)\nfar = 1")
    payloads: list[psutil.Process] = []

    def all_run() -> bool:
        payloads[:] = payloads_of(kernel)
        return len(payloads) == 3

    kernel.listen(all_run)
    kernel.run(f"%kill {cell.job}")
    kernel.until_panel(cell, "killed")
    psutil.wait_procs(payloads, timeout=60)
    assert not payloads_of(kernel)
    assert kernel.run("far").error.startswith("JobKilled")


def test_a_task_that_is_killed_takes_only_its_own_items_and_they_can_run_again(
    kernel: Kernel, gate: Gate
) -> None:
    cell = kernel.run(f"%%batch --map x=range(6)\n{gate.code}spared = x")
    kernel.listen(lambda: "3 tasks run" in cell.panel)
    assert kernel.run(f"%kill {cell.job}.1").text == f"Task {cell.job}.1: is being killed\n"
    kernel.listen(lambda: "Items 2 to 3: killed. This task was killed on request." in cell.panel)
    assert "running" in cell.panel
    assert f"Task {cell.job}.1 has ended: killed." in kernel.run(f"%kill {cell.job}.1").error
    assert f"Job {cell.job} has no task 3: its tasks are 0 to 2." in kernel.run(f"%kill {cell.job}.3").error
    gate.open()
    kernel.until_panel(cell, "killed")
    assert "4 of 6 items done, 2 failed" in cell.panel
    assert "JobKilled" in kernel.run("spared").error
    kernel.until_panel(kernel.run(f"%resubmit {cell.job} --failed"), "done")
    assert kernel.run("spared").value == "[0, 1, 2, 3, 4, 5]"


def payloads_of(kernel: Kernel) -> list[psutil.Process]:
    """The payloads of this site that run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            command = process.cmdline()
            if "--task" in command and any(str(kernel.site.state) in word for word in command):
                found.append(process)
    return found


def test_a_task_that_dies_is_lost_and_the_others_arrive(kernel: Kernel) -> None:
    cell = mapped(
        kernel,
        "--allow-failures --map x=range(6)",
        "import os, signal\nif x == 2: os.kill(os.getpid(), signal.SIGKILL)\nalive = x",
    )
    assert "4 of 6 items done, 2 failed" in cell.panel and "Items 2 to 3: lost." in cell.panel
    assert kernel.run("alive[:2], alive[4:], type(alive[3]).__name__, 'SIGKILL' in str(alive[3])").value == (
        "([0, 1], [4, 5], 'JobLost', True)"
    )


def test_the_broker_may_die_meanwhile(kernel: Kernel, gate: Gate) -> None:
    cell = kernel.run(f"%%batch --map x=range(6)\nprint(x)\n{gate.code}survived = x")
    kernel.listen(lambda: len(payloads_of(kernel)) == 3)
    kernel.site.kill_broker()
    gate.open()
    kernel.until_panel(cell, "done")
    assert kernel.run("survived").value == "[0, 1, 2, 3, 4, 5]"


def test_local_tasks_take_turns_with_other_jobs(kernel: Kernel, gate: Gate) -> None:
    first = kernel.run(f"%%batch\n{gate.code}single = 1")
    kernel.until_panel(first, "running")
    cell = kernel.run("%%batch --map x=range(3)\nturn = x")
    behind = kernel.run("%%batch\nbehind = 1")
    kernel.until_panel(cell, "queued")
    kernel.until_panel(behind, "queued")
    assert "It waits for a free core" in cell.panel
    gate.open()
    for one in (first, cell, behind):
        kernel.until_panel(one, "done")
    assert kernel.run("turn, behind").value == "([0, 1, 2], 1)"


def test_what_failed_of_a_map_is_run_again_and_completes_it(kernel: Kernel, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    code = (
        f"import os\nprint('item', x)\nif x % 4 == 2 and not os.path.exists({str(mended / 'now')!r}): 1 / 0\n"
        "if x == 5: os.makedirs(PLACE, exist_ok=True)\nwhole = x * x\nwhole"
    )
    kernel.run(f"PLACE = {str(mended)!r}")
    cell = mapped(kernel, "--map x=range(8)", code, "failed")
    assert f"%resubmit {cell.job} --failed" in kernel.run("whole").error
    (mended / "now").touch()
    again = kernel.send(f"%resubmit {cell.job} --failed")
    late = kernel.send("whole, Out[-1 + len(In) - 1]")
    kernel.finish(late)
    assert again.reply["status"] == "ok", again.error
    assert late.value == f"({[x * x for x in range(8)]}, {[x * x for x in range(8)]})"
    assert "2 of 2 items done" in again.panel and f"2 of 8 items of job {cell.job} once more" in again.panel
    assert [line for line in items_of(kernel, again) if line.startswith("Item")] == ["Item 2", "Item 6"]
    assert kernel.run(f"%resubmit {again.job}").error.startswith(f"BackendError: Job {again.job} is done")


def test_what_failed_is_run_again_beside_the_others_and_all_deliver_together(
    kernel: Kernel, gate: Gate, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    waits = gate.code.replace("\n", "\n    ")
    cell = kernel.run(
        f"%%batch --chunk 1 --map x=range(3)\nimport os\nif x:\n    {waits}\n"
        f"elif not os.path.exists({str(mended)!r}): 1 / 0\nboth = x"
    )
    kernel.listen(lambda: "1 failed" in cell.panel)
    assert "it has not ended." in kernel.run(f"%resubmit {cell.job}").error
    mended.touch()
    again = kernel.run(f"%resubmit {cell.job} --failed")
    assert again.reply["status"] == "ok", again.error
    kernel.listen(lambda: f"It waits for the others, which job {cell.job} runs." in again.panel)
    late = kernel.send("both")
    gate.open()
    assert kernel.finish(late).value == "[0, 1, 2]", late.error
    kernel.until_panel(again, "done")
    kernel.until_panel(cell, "failed")
    assert kernel.run("both").value == "[0, 1, 2]"


def test_allowed_failures_can_be_run_again_too_and_twice(kernel: Kernel, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    code = f"import os\nif x: os.stat(f'{there}/{{x}}')\nfound = x"
    first = mapped(kernel, "--allow-failures --map x=range(3)", code)
    assert "FileNotFoundError" in str(kernel.run("found").value)
    (there / "2").touch()
    second = kernel.run(f"%resubmit {first.job} --failed")
    kernel.until_panel(second, "done")
    assert "FileNotFoundError" in str(kernel.run("found[1]").value)
    assert kernel.run("found[::2]").value == "[0, 2]"
    (there / "1").touch()
    kernel.run(f"%resubmit {second.job} --failed")
    assert kernel.run("found").value == "[0, 1, 2]"


def test_values_are_merged_in_item_order_with_none_of_those_that_failed(kernel: Kernel) -> None:
    kernel.run("def joined(a, b): return f'({a}{b})'")
    cell = mapped(
        kernel,
        "--map x=range(5) --merge text=joined --merge total=+ --merge most=max --allow-failures",
        "if x == 1: 1 / 0\ntext, total, most, each = str(x), x, -x, x",
    )
    assert not cell.error
    assert kernel.run("text, total, most").value == "('(((02)3)4)', 9, 0)"
    assert (
        kernel.run("[type(one).__name__ for one in each]").value
        == "['int', 'ZeroDivisionError', 'int', 'int', 'int']"
    )


def test_what_is_run_again_is_merged_as_it_was_asked_for(kernel: Kernel, tmp_path: Path) -> None:
    kernel.run("def combine(a, b): return a + b")
    code = f"import os\nif x == 2: assert os.path.exists({str(tmp_path / 'mended')!r})\nsummed = str(x)"
    failed = mapped(kernel, "--map x=range(4) --merge summed=combine", code, "failed")
    kernel.run("del combine")
    (tmp_path / "mended").touch()
    kernel.run(f"%resubmit {failed.job} --failed")
    assert kernel.run("summed").value == "'0123'"


def test_a_merge_that_can_t_be_is_an_error(kernel: Kernel) -> None:
    for line, error in [
        ("--merge y=max", "OptionError: --merge y=max is for a map"),
        ("--map x=[1] --merge z=max", "OptionError: --merge z=max: the cell doesn't bind z."),
        ("--map x=[1] --merge y=missing", "NameError: name 'missing' is not defined"),
        ("--map x=[1] --merge y=3", "MapError: --merge y=3 gives no function, but 3."),
    ]:
        cell = kernel.run(f"%%batch {line}\ny = x")
        assert cell.error.startswith(error) and not cell.panel
    failing = mapped(kernel, "--map x=[1,2] --merge unmerged=sum", "unmerged = x")
    kernel.listen(lambda: failing.error)
    assert "--merge unmerged failed at item 1: TypeError" in failing.error
    assert kernel.run("unmerged").error.startswith("ResultRefused")
