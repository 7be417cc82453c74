"""``%logs``: what is left of a job."""

from __future__ import annotations

from tests.harness import Kernel


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
