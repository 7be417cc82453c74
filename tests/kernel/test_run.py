"""``ganga-kernel run``: what Run All does in a browser, and a saved notebook to show for it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Kernel, Site, make_site
from tests.notebooks import LONGEST, MEETING, code, command, kinds, panel, run, saved, texts, write


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with make_site(local_slots=2) as found:
        yield found


def test_batch_cells_run_side_by_side_and_what_comes_late_lands_in_its_cell(site: Site) -> None:
    notebook = write(
        site.root / "meeting.ipynb",
        code(MEETING),
        code("meet('first', 'second')\nprint('they met')\nawait_('ordinary')\nprint('late')", "batch"),
        code("%%batch\nmeet('second', 'first')\nprint('we met')\nvalue = 42"),
        code("print('ordinary')\nPath('ordinary').touch()\nvalue"),
    )
    ran = run(site, notebook)
    assert ran.exit_code == 0, ran.said
    definitions, first, second, ordinary = ran.cells
    assert texts(first) == "they met\nlate\n" and ": done (Local" in panel(first)
    assert texts(second) == "we met\n" and ": done (Local" in panel(second)
    assert texts(ordinary) == "ordinary\n" and ordinary.outputs[-1].data["text/plain"] == "42"
    assert kinds(definitions) == [] and kinds(first) == kinds(second) == ["display_data", "stream"]
    assert [cell.execution_count for cell in ran.cells] == [1, 2, 3, 4]


def test_displays_change_where_they_stand(site: Site) -> None:
    notebook = write(
        site.root / "displays.ipynb",
        code("from IPython.display import display, clear_output\nshown = display('old', display_id=True)"),
        code("inside = display(0, display_id=True)\nfor i in 1, 2:\n    inside.update(i)", "batch"),
        code("print('gone', flush=True)\nclear_output(wait=True)\nprint('stays')\nshown.update('new')"),
    )
    ran = run(site, notebook)
    assert ran.exit_code == 0, ran.said
    first, batch, last = ran.cells
    assert [output.data["text/plain"] for output in first.outputs] == ["'new'"]
    assert [output.data["text/plain"] for output in batch.outputs[1:]] == ["2"]
    assert kinds(last) == ["stream"] and texts(last) == "stays\n"


def test_a_failed_job_fails_the_run_with_its_error(site: Site) -> None:
    notebook = write(
        site.root / "failing.ipynb",
        code("print('so far')\nraise OSError('no tape')", "batch"),
        code("raise OSError('no disk')", "batch", "raises-exception"),
        code("print('runs on')"),
    )
    ran = run(site, notebook, "--quiet")
    assert ran.exit_code == 1
    failed, allowed, after = ran.cells
    assert kinds(failed) == ["display_data", "stream", "error"] and ": failed (" in panel(failed)
    assert kinds(allowed) == ["display_data", "error"] and texts(after) == "runs on\n"
    assert ran.said.startswith("ganga-kernel run: Cell 1 of 3 failed:\n")
    assert "OSError: no tape" in ran.said and "no disk" not in ran.said and "\x1b" not in ran.said
    assert ran.said.endswith(f"The notebook so far is in {notebook}.\n")


def test_an_error_stops_the_run_but_not_the_jobs(site: Site) -> None:
    again = code("print('must not run')")
    again.outputs = run(site, write(site.root / "old.ipynb", code("print('old')"))).cells[0].outputs
    notebook = write(
        site.root / "stops.ipynb",
        code(MEETING),
        code("await_('failing')\nprint('goes on')", "batch"),
        code("1 / 0", "raises-exception"),
        code("Path('failing').touch()\n{}['key']"),
        again,
    )
    ran = run(site, notebook)
    assert ran.exit_code == 1
    _, job, allowed, failed, behind = ran.cells
    assert texts(job) == "goes on\n" and ": done (" in panel(job)
    assert allowed.outputs[0].ename == "ZeroDivisionError" and failed.outputs[0].ename == "KeyError"
    assert behind.outputs == [] and behind.execution_count is None
    assert "Cell 4 of 5 failed; the cells behind it were not run:\n" in ran.said
    assert "KeyError: 'key'" in ran.said and "ZeroDivisionError" not in ran.said


def test_it_is_a_notebook_like_in_a_browser_with_parameters_behind_their_defaults(site: Site) -> None:
    folder = site.root / "a folder"
    folder.mkdir()
    notebook = write(
        folder / "settings.ipynb",
        code("import json, os"),
        code("size, name = 1, 'default'", "parameters"),
        code("json.dumps([size, name, os.getcwd(), os.environ['JPY_SESSION_NAME']])"),
    )
    for size in 5, 6:  # the second run replaces what the first one put there
        ran = run(site, notebook, "-p", f"size={size}", "-p", "name=two words", "-q")
        assert (ran.exit_code, ran.said) == (0, "")
        injected, last = ran.cells[2:]
        assert injected.metadata.tags == ["injected-parameters"]
        answer = json.loads(last.outputs[0].data["text/plain"].strip("'"))
        assert answer == [size, "two words", str(folder), str(notebook)]


@pytest.mark.parametrize(
    ("last", "number", "where"),
    [
        ("print('now', flush=True)\nwhile True: time.sleep(0.05)", signal.SIGINT, "cell 3 of 4"),
        ("print('now')", signal.SIGTERM, "the wait for job"),
    ],
    ids=["Ctrl-C in a cell", "SIGTERM while it waits"],
)
def test_an_interrupt_saves_the_notebook_and_leaves_the_jobs(
    site: Site, tmp_path: Path, last: str, number: signal.Signals, where: str
) -> None:
    in_a_cell = number == signal.SIGINT
    notebook = write(
        tmp_path / "long.ipynb",
        code(MEETING),
        code("await_('gate')\nprint('ended')", "batch"),
        code(last),
        code("print('behind')" if in_a_cell else ""),
    )
    out = tmp_path / "out.ipynb"
    process = subprocess.Popen(
        command(notebook, "-o", out), env=site.environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        said = ""
        while not (": running (" in said and ("Cell 3" if in_a_cell else "Waiting") in said):
            line = process.stderr.readline()
            assert line, said
            said += line
        process.send_signal(number)
        said += process.communicate(timeout=LONGEST)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, said
    _, job, interrupted, never = saved(out)
    assert ": running (" in panel(job)
    assert texts(interrupted) == "now\n" and ("error" in kinds(interrupted)) == in_a_cell
    assert never.outputs == []
    found = re.search(r"What goes on: job (\d+)\.", said)
    assert found and f"Interrupted in {where}" in said and f"The notebook so far is in {out}." in said
    (tmp_path / "gate").touch()
    kernel = Kernel(site)
    try:
        waited = kernel.run(f"%wait {found[1]}")
        assert "ended\n" in waited.text and waited.text.endswith(": done\n")
    finally:
        kernel.close()


DEAF = """
from pathlib import Path
while True:
    try:
        while True:
            Path("runs").touch()
    except KeyboardInterrupt:
        Path("interrupted").touch()
"""


def test_another_interrupt_ends_a_cell_that_ignores_the_first(site: Site, tmp_path: Path) -> None:
    notebook = write(tmp_path / "deaf.ipynb", code("print('before')"), code(DEAF))
    process = subprocess.Popen(
        command(notebook, "-o", notebook), env=site.environment, stderr=subprocess.PIPE, text=True
    )
    try:
        for file in "runs", "interrupted":
            while not (tmp_path / file).exists():
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=LONGEST)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130 and said.splitlines()[-2:] == [
        "ganga-kernel run: Interrupted in cell 2 of 2.",
        f"The notebook so far is in {notebook}.",
    ]
    assert texts(saved(notebook)[0]) == "before\n"


def test_a_kernel_that_dies(site: Site) -> None:
    notebook = write(
        site.root / "dies.ipynb",
        code("print('alive')"),
        code("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nsignal.pause()"),
        code("print('behind')"),
    )
    ran = run(site, notebook)
    assert ran.exit_code == 1
    assert "ganga-kernel run: The kernel ended in cell 2 of 3.\n" in ran.said
    assert texts(ran.cells[0]) == "alive\n" and ran.cells[2].outputs == []
