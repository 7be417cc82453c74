"""``%logs``: what is left of a job."""

from __future__ import annotations

from tests.harness import Gate, Kernel


def test_a_failed_cell_s_locals_are_shown_on_request(kernel: Kernel) -> None:
    kernel.run("def ratio(a, b):\n    inner = a - 1\n    return inner / b")
    cell = kernel.batch("zero = 0\nratio(5, zero)", "failed")
    text = kernel.run(f"%logs {cell.job} --locals").text
    assert (
        text.startswith(f"Job {cell.job} (Local): failed\n") and "ZeroDivisionError: division by zero" in text
    )
    assert "In ratio, line 3:\n    a = 5\n    b = 0\n    inner = 4" in text
    assert "In the cell, line 3:" in text and "zero = 0" in text
    assert "inner" not in kernel.run(f"%logs {cell.job}").text


def test_a_crash_says_how_it_ended(kernel: Kernel) -> None:
    cell = kernel.batch("import ctypes\nctypes.string_at(0)", "lost")
    text = kernel.run(f"%logs {cell.job}").text
    assert "exit code -11" in text and "Fatal Python error: Segmentation fault" in text
    assert (
        "string_at (ctypes/__init__.py, line" in cell.panel and "called from line 3 of the cell" in cell.panel
    )


def test_a_job_that_isn_t_there(kernel: Kernel) -> None:
    assert kernel.run("%logs 4711").error.startswith("BackendError: There is no job 4711.")
    assert kernel.run("%logs").error.startswith("OptionError")
    assert kernel.run("%logs 1 --local").error.startswith("OptionError")
    assert kernel.run("%logs 1 --locals -f").error.startswith("OptionError: %logs: --locals isn't for")


def test_what_a_cell_wrote_is_read_while_it_runs_and_later(kernel: Kernel, gate: Gate) -> None:
    cell = kernel.run(
        "%%batch\nimport sys\nprint('out', flush=True)\nprint('err', file=sys.stderr, flush=True)\n"
        f"{gate.code}print('later')\n1 / 0"
    )
    kernel.listen(lambda: "err" in cell.text)
    assert kernel.run(f"%logs {cell.job} --stdout").text == "out\n"
    assert kernel.run(f"%logs {cell.job}.0 --stderr").text == "err\n"
    assert "Its cell wrote last:\n    out\n    err\n" in kernel.run(f"%logs {cell.job}").text
    assert "keeps no event log" in kernel.run(f"%logs {cell.job} --events").error
    followed = kernel.send(f"%logs {cell.job} -f")
    kernel.listen(lambda: followed.text == "out\nerr\n")
    gate.open()
    kernel.finish(followed)
    assert followed.text.startswith("out\nerr\nlater\n") and "ZeroDivisionError" in followed.text
    assert followed.text.endswith(f"\n--- Job {cell.job}: failed ---\n")
    names = [content["name"] for content in followed.of("stream")]
    assert names[:2] == ["stdout", "stderr"]
    assert kernel.run(f"%logs {cell.job} -f").text == followed.text


def test_an_interrupt_ends_the_reading_and_nothing_else(kernel: Kernel, gate: Gate) -> None:
    cell = kernel.run(f"%%batch\nprint('begun', flush=True)\n{gate.code}survived = 1")
    followed = kernel.send(f"%logs {cell.job} -f")
    kernel.listen(lambda: followed.text == "begun\n")
    kernel.interrupt()
    kernel.finish(followed)
    assert followed.error.startswith("KeyboardInterrupt") and followed.states == ["busy", "idle"]
    assert kernel.run("40 + 2").value == "42"
    gate.open()
    kernel.until_panel(cell, "done")
    assert kernel.run("survived").value == "1"


def test_a_task_of_a_map_is_read_by_its_number(kernel: Kernel) -> None:
    cell = kernel.run("%%batch --map x=range(4) --chunk 2\nprint('item', x)")
    kernel.until_panel(cell, "done")
    assert kernel.run(f"%logs {cell.job}.1 -f").text == (
        f"item 2\nitem 3\n--- Job {cell.job}, task 1: done ---\n"
    )
    text = kernel.run(f"%logs {cell.job}.1").text
    assert "Task 1: done" in text and "Task 0" not in text and "    item 2\n    item 3" in text
    assert "has 2 tasks, 0 to 1." in kernel.run(f"%logs {cell.job} -f").error
    assert "has no task 2" in kernel.run(f"%logs {cell.job}.2").error
