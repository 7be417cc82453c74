"""The kernel as its user sees it, in JupyterLab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Lab, Page

#: In a batch cell: go on when the test says so. It ends by itself, should the test be gone.
WAIT = """
import time
from pathlib import Path
end = time.monotonic() + 120
while not Path({gate!r}).exists() and time.monotonic() < end:
    time.sleep(0.05)
""".strip()


class Gate:
    """Holds batch cells up until the test opens it, so that no test depends on how fast the machine is.

    A job runs in its notebook's folder, where the gate is a file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.code = WAIT.format(gate=path.name)

    def open(self) -> None:
        """Let the batch cells go on."""
        self._path.touch()


@pytest.fixture
def gate(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Gate]:
    """A gate, opened at the latest when the test ends, so that no job outlives it for long."""
    found = Gate(lab.folder / f"go-{request.node.name[5:12].rstrip('_')}")
    yield found
    found.open()


def test_run_all_shows_panel_outputs_and_values(page: Page, gate: Gate) -> None:
    batch_cell = [
        "import matplotlib.pyplot as plt",
        "import time",
        "for step in range(3):",
        "    print('step', step)",
        "    time.sleep(0.2)",
        gate.code,
        "points = [scaled(x) for x in range(5)]",
        "fig, ax = plt.subplots(figsize=(4, 2.5))",
        "ax.plot(points)",
        "plt.show()",
        "sum(points)",
    ]
    page.lab.write(
        "measure.ipynb",
        ("scale = 3\n\ndef scaled(x):\n    return x * scale", []),
        ("\n".join(batch_cell), ["batch"]),
        ("print('points are', points)", []),
    )
    page.open("measure.ipynb")
    page.start("notebook:run-all-cells")

    # The job runs, and says so; its cell's prompt is free, and the cell that reads `points` waits.
    page.wait_for_panel(1, "running")
    page.wait_for_text(1, "step 2")
    page.wait(
        lambda: (
            [cell.prompt for cell in page.cells()] == ["[1]:", "[2]:", "[*]:"]
            and page.cells()[1].panel.badge == "running"
        ),
        "the batch cell's prompt is free while its job runs",
    )
    page.screenshot("jupyterlab-running")
    gate.open()

    page.wait_for_text(2, "points are [0, 3, 6, 9, 12]")
    page.wait_for_panel(1, "done")
    page.wait(lambda: any(shown.figure for shown in page.cells()[1].results), "the figure is shown")
    first, batch, last = page.cells()
    assert [first.prompt, batch.prompt, last.prompt] == ["[1]:", "[2]:", "[3]:"]
    assert first.outputs == []
    assert re.match(r"done\s+Job \d+\s+Local · ", batch.panel.text), batch.panel.text
    assert batch.outputs[0] == batch.panel
    stream, figure, value = batch.results
    assert stream.text.split("\n")[:3] == ["step 0", "step 1", "step 2"]
    assert figure.figure
    assert (value.prompt, value.text.strip()) == ("[2]:", "30")
    assert last.text.strip() == "points are [0, 3, 6, 9, 12]"
    page.screenshot("jupyterlab")


def test_a_failed_batch_cell_shows_its_traceback_and_so_does_who_reads_its_name(page: Page) -> None:
    page.lab.write(
        "fails.ipynb",
        ("divisor = 0", []),
        ("# a comment\nratio = 1\nratio = ratio / divisor", ["batch"]),
        ("print(ratio)", []),
    )
    page.open("fails.ipynb")
    for cell in range(3):
        page.run(cell)
    page.wait_for_panel(1, "failed")
    page.wait_for_text(1, "ZeroDivisionError: division by zero")
    page.wait_for_text(2, "ZeroDivisionError: division by zero")
    page.screenshot("jupyterlab-failed")
    first, batch, last = page.cells()
    assert [first.prompt, batch.prompt, last.prompt] == ["[1]:", "[2]:", "[3]:"]
    for cell in batch, last:
        (error,) = cell.results
        assert error.error
        assert re.search(r"-+> *3 ratio = ratio / divisor", error.text), error.text

    again = page.run_new("divisor + 41 + 1")
    page.wait_for_text(again, "42")
    assert page.cells()[again].prompt == "[4]:"


def test_a_kernel_is_busy_while_a_cell_waits(page: Page, gate: Gate) -> None:
    page.lab.write("busy.ipynb", (f"{gate.code}\nslow = 'slow'", ["batch"]), ("print(slow)", []))
    page.open("busy.ipynb")
    page.start("notebook:run-all-cells")
    page.wait_for_panel(0, "running")
    page.wait(lambda: page.cells()[1].prompt == "[*]:", "the second cell waits")
    # Not for the eye alone: a server that ends idle kernels must not end one that waits.
    page.wait(lambda: page.kernel()["status"] == "busy", "the page calls the kernel busy", 10)
    (session,) = page.lab.ask("sessions")
    assert session["kernel"]["execution_state"] == "busy"
    gate.open()
    page.wait_for_text(1, "slow")
    page.wait(lambda: page.kernel()["status"] == "idle", "the page calls the kernel idle")


def test_an_interrupt_ends_the_wait_and_not_the_job_and_a_restart_begins_anew(page: Page, gate: Gate) -> None:
    page.lab.write(
        "interrupt.ipynb", (f"{gate.code}\nslow = 'came back'", ["batch"]), ("print('slow', slow)", [])
    )
    page.open("interrupt.ipynb")
    page.start("notebook:run-all-cells")
    page.wait_for_panel(0, "running")
    page.wait(lambda: page.cells()[1].prompt == "[*]:", "the second cell waits")
    page.toolbar("notebook:interrupt-kernel")
    page.wait_for_text(1, "KeyboardInterrupt")
    page.wait(lambda: page.cells()[1].prompt == "[2]:", "the interrupted cell has its number")
    assert page.cells()[0].panel.badge == "running"
    page.screenshot("jupyterlab-interrupted")

    gate.open()
    page.wait_for_panel(0, "done")
    page.run(1)
    page.wait_for_text(1, "slow came back")

    page.start("notebook:restart-kernel")
    page.click(".jp-Dialog .jp-mod-accept")
    page.wait_for_end()
    page.start("notebook:run-all-cells")
    page.wait(
        lambda: (
            [(c.prompt, c.text.strip()) for c in page.cells()] == [("[1]:", ""), ("[2]:", "slow came back")]
        ),
        "all cells ran again, numbered anew",
    )
    page.wait_for_panel(0, "done")


def test_a_reloaded_page_reads_right_and_its_kernel_still_answers(page: Page, gate: Gate) -> None:
    page.lab.write("reload.ipynb", (f"{gate.code}\nkept = 'kept'", ["batch"]))
    page.open("reload.ipynb")
    page.run(0)
    page.wait_for_panel(0, "running")
    before = page.kernel()["id"]
    page.start("docmanager:save")
    page.wait_for_end()
    page.reload("reload.ipynb")

    assert page.kernel()["id"] == before
    page.wait_for_panel(0, "running")
    panel = page.cells()[0].panel.text
    number = re.search(r"Job (\d+)", panel)
    assert number, panel
    assert re.search(r"As of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\. ", panel), panel
    assert f"%wait {number[1]} waits for it" in panel
    page.screenshot("jupyterlab-reloaded")

    sums = page.run_new("20 + 22")
    page.wait_for_text(sums, "42")
    gate.open()
    reads = page.run_new("print(kept)")
    page.wait(lambda: page.cells()[reads].text.strip() == "kept", "the value came back")
    jobs = page.run_new(f"%wait {number[1]}")
    page.wait_for_text(jobs, "done")
    page.screenshot("jupyterlab-reloaded-after")
