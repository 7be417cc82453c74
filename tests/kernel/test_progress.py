"""How far a batch cell has got, in its panel."""

from __future__ import annotations

from tests.harness import Gate, Kernel


def test_a_cell_s_progress_is_in_its_panel_while_it_runs(kernel: Kernel, gate: Gate) -> None:
    kernel.run("from ganga_kernel import progress\nprogress(1, 2)")
    tell = "import time\nprogress(0, 1_000_000); time.sleep(2.2); progress(5_000, 1_000_000)"
    cell = kernel.run(f"%%batch\n{tell}\n{gate.code}told = progress")
    kernel.listen(lambda: "5,000 of 1,000,000 done (0%), about " in cell.panel)
    assert " min left\n" in cell.panel
    gate.open()
    kernel.until_panel(cell, "done")
    assert "1,000,000" not in cell.panel
    assert kernel.run("told is progress").value == "True"


def test_tqdm_s_bars_are_in_the_panel_and_their_text_is_shown(kernel: Kernel, gate: Gate) -> None:
    lines = gate.code.replace("\n", "\n    ")
    bar = "from tqdm.auto import tqdm\nfor step in tqdm(range(8)):\n    if step < 6: continue"
    cell = kernel.run(f"%%batch\n{bar}\n    {lines}")
    kernel.listen(lambda: "of 8 done" in cell.panel)
    gate.open()
    kernel.until_panel(cell, "done")
    assert "8/8" in cell.text and not cell.error


def test_a_job_that_failed_says_how_far_it_got(kernel: Kernel) -> None:
    cell = kernel.batch("from ganga_kernel import progress\nprogress(3, 4)\n1 / 0", "failed")
    assert "3 of 4 done (75%)\n" in cell.panel


def test_a_map_says_how_many_tasks_run(kernel: Kernel, gate: Gate) -> None:
    lines = gate.code.replace("\n", "\n    ")
    cell = kernel.run(f"%%batch --map x=range(4) --chunk 2\nif x % 2:\n    {lines}")
    kernel.listen(lambda: "2 of 4 items done (50%), 2 tasks run" in cell.panel)
    gate.open()
    kernel.until_panel(cell, "done")
    assert "4 of 4 items done (100%)" in cell.panel
