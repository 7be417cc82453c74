"""A cell that is run again finds its job: after a restart, at every stage of the job's life."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import PATIENCE, Cell, Kernel, Site, make_site
from tests.pool import Pool

NOTEBOOK = "/home/me/analysis.ipynb"
#: Inputs whose pickles differ in every process.
INPUTS = """
import numpy as np
words = {"alpha", "beta", "gamma", "delta"}
scale = 3
data = np.arange(4.0)
def scaled(x):
    return scale * x
class Sum:
    "Adds up."
    def __init__(self, parts): self.parts = parts
    def total(self): return sum(map(scaled, self.parts))
sums = {"all": Sum(data)}
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site where one local job runs at a time, so that a gate holds all others in the queue."""
    with make_site(local_slots=1) as found:
        yield found


@pytest.fixture(scope="module")
def kernel(site: Site) -> Iterator[Kernel]:
    """A kernel of another notebook, for tests without a restart."""
    with notebook(site, "/home/me/other.ipynb") as running:
        yield running


@pytest.fixture
def gate(site: Site) -> Iterator[Path]:
    """A file for which `held` cells wait; it is there at the test's end."""
    path = site.root / f"gate-{next(_numbers)}"
    yield path
    path.touch()


_numbers = itertools.count()


@contextmanager
def notebook(site: Site, path: str = NOTEBOOK) -> Iterator[Kernel]:
    """A kernel of a notebook in which the first cells have run."""
    kernel = Kernel(site, JPY_SESSION_NAME=path) if path else Kernel(site)
    try:
        kernel.run(INPUTS)
        yield kernel
    finally:
        kernel.close()


def held(gate: Path, code: str = "answer = Sum(sums['all'].parts).total(), sorted(words)\nanswer") -> str:
    """A batch cell that says "begun", and waits for the gate before it goes on."""
    return (
        "%%batch\nimport os, time\nprint('begun', flush=True)\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(0.05)\n{code}"
    )


ANSWER = "(np.float64(18.0), ['alpha', 'beta', 'delta', 'gamma'])"


def run(kernel: Kernel, code: str, cell: str = "a") -> Cell:
    """Run a batch cell, until its panel shows its job."""
    found = kernel.run(code, {"cellId": cell})
    assert found.reply["status"] == "ok", found.error
    kernel.listen(lambda: found.panel)
    return found


def wait(condition: Callable[[], object]) -> None:
    """Wait for something that no kernel tells."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def state(kernel: Kernel, job: int) -> str:
    """The state of a job, whoever started it."""
    rows = [line.split() for line in kernel.run("%jobs -n 100").text.splitlines()]
    return next(row[1] for row in rows if row[0] == str(job))


def folder_of(site: Site, gate: Path) -> Path:
    """The folder of the only job that waits for the gate."""
    jobs = (site.state / "spool" / "jobs").glob("*/job.json")
    (found,) = (path.parent for path in jobs if str(gate) in path.read_text())
    return found


def kill(kernel: Kernel, *, broker: bool) -> None:
    """End a kernel, and perhaps the broker, without a word."""
    if broker:
        process = kernel.site.broker()
        assert process is not None
        process.kill()
    os.kill(kernel.pid, signal.SIGKILL)


@pytest.mark.parametrize("how", ["shutdown", "kill", "power cut"])
def test_a_running_job_is_attached_to(site: Site, gate: Path, how: str) -> None:
    with notebook(site) as kernel:
        first = run(kernel, held(gate))
        kernel.listen(lambda: first.text == "begun\n")
        if how != "shutdown":
            kill(kernel, broker=how == "power cut")
    with notebook(site) as kernel:
        kernel.run("'another In[n]'")
        again = run(kernel, held(gate))
        assert again.job == first.job and "this is its job" in again.panel
        kernel.listen(lambda: again.text == "begun\n")
        kernel.until_panel(again, "running")
        gate.touch()
        kernel.until_panel(again, "done")
        assert again.value == ANSWER and kernel.run("answer").value == ANSWER
        assert again.text == "begun\n"
        number = again.reply["execution_count"]
        assert number != first.reply["execution_count"]
        assert again.of("execute_result")[0]["execution_count"] == number
        folder_of(site, gate)  # and no other


def test_a_queued_job_is_attached_to(site: Site, gate: Path) -> None:
    with notebook(site) as kernel:
        busy = run(kernel, held(gate, "busy = 1"), "busy")
        kernel.listen(lambda: busy.text)
        first = kernel.until_panel(run(kernel, "%%batch\nqueued = scaled(2)"), "queued")
    with notebook(site) as kernel:
        again = run(kernel, "%%batch\nqueued = scaled(2)")
        assert again.job == first.job
        kernel.until_panel(again, "queued")
        gate.touch()
        assert kernel.run("queued").value == "6"


def test_a_job_that_ended_while_no_kernel_was_there_is_delivered_once(site: Site, gate: Path) -> None:
    with notebook(site) as kernel:
        first = run(kernel, held(gate))
        kernel.listen(lambda: first.text)
    gate.touch()
    with notebook(site) as kernel:
        wait(lambda: state(kernel, first.job) == "done")
        again = kernel.until_panel(run(kernel, held(gate)), "done")
        assert again.job == first.job and "these are its results" in again.panel
        assert kernel.run("answer").value == ANSWER == again.value and again.text == "begun\n"
        anew = kernel.until_panel(run(kernel, held(gate)), "done")
        assert anew.job != first.job
        assert kernel.run("answer").value == ANSWER


def test_cache_delivers_again_and_fresh_never_attaches(site: Site) -> None:
    code = "%%batch{}\nimport random\ndrawn = random.random(), scaled(1)\nprint('drawn')"
    with notebook(site) as kernel:
        first = kernel.until_panel(run(kernel, code.format("")), "done")
        drawn = kernel.run("drawn").value
    with notebook(site) as kernel:
        cached = kernel.until_panel(run(kernel, code.format(" --cache")), "done")
        assert cached.job == first.job and kernel.run("drawn").value == drawn
        kernel.listen(lambda: cached.text == "drawn\n")
        kernel.run("drawn = None")
        cached = kernel.until_panel(run(kernel, code.format(" --cache")), "done")
        assert kernel.run("drawn").value == drawn
        fresh = kernel.until_panel(run(kernel, code.format(" --fresh")), "done")
        assert fresh.job != first.job and kernel.run("drawn").value != drawn
        plain = kernel.until_panel(run(kernel, code.format("")), "done")
        assert plain.job not in (first.job, fresh.job)
        kernel.run("scale = 4")
        other = kernel.until_panel(run(kernel, code.format(" --cache")), "done")
        assert other.job > plain.job


def test_fresh_starts_another_job_beside_the_unfinished_one(kernel: Kernel, gate: Path) -> None:
    first = run(kernel, held(gate))
    fresh = run(kernel, held(gate).replace("%%batch", "%%batch --fresh"))
    assert fresh.job != first.job
    assert run(kernel, held(gate)).job == fresh.job  # the newest
    gate.touch()
    assert kernel.run("answer").value == ANSWER


def test_another_cell_or_another_input_is_another_job(site: Site, gate: Path) -> None:
    """Also in a copy of the notebook, and where the notebook's name isn't known."""
    helpers = site.root / "own_helpers.py"
    helpers.write_text("unit = 1\n")
    code = held(gate, "import own_helpers\nanswer = Sum(sums['all'].parts).total(), sorted(words)\nanswer")
    changes = {
        "a global of a function": "scale = 4",
        "a set": "words.add('epsilon')",
        "an array": "data[1] = 7",
        "a class": INPUTS.replace("sum(map(", "max(map("),
        "what it was": INPUTS,
    }
    with notebook(site) as kernel:
        jobs = {"itself": run(kernel, code).job}
        assert run(kernel, code).job == jobs["itself"]
        jobs["another cell"] = run(kernel, code, "b").job
        jobs["another text"] = run(kernel, code + "\n").job
        jobs["other options"] = run(kernel, code.replace("%%batch", "%%batch --cpus 1")).job
        for what, change in changes.items():
            kernel.run(change)
            jobs[what] = run(kernel, code).job
        assert jobs.pop("what it was") == jobs["itself"]
        helpers.write_text("unit = 22\n")
        jobs["a module of one's own"] = run(kernel, code).job
        helpers.write_text("unit = 1\n")
        with notebook(site, "/home/me/copy.ipynb") as other:
            jobs["a copy"] = run(other, code).job
        with notebook(site, "") as other:
            jobs["somewhere"] = run(other, code).job
            jobs["somewhere again"] = run(other, code).job
            asked = code.replace("%%batch", "%%batch --cache")
            jobs["somewhere with --cache"] = run(other, asked).job
            assert run(other, asked).job == jobs["somewhere with --cache"]
        assert len(set(jobs.values())) == len(jobs)
        for number in jobs.values():
            kernel.run(f"%kill {number}")


def test_a_job_that_went_wrong_is_not_attached_to(kernel: Kernel, gate: Path) -> None:
    code = f"%%batch\nimport os\nassert os.path.exists({str(gate)!r}), 'too early'\nfound = 1"
    failed = kernel.until_panel(run(kernel, code), "failed")
    gate.touch()
    again = kernel.until_panel(run(kernel, code), "done")
    assert again.job != failed.job and kernel.run("found").value == "1"


def test_a_killed_job_is_not_attached_to(kernel: Kernel, gate: Path) -> None:
    """And what it was to change has the value from before, for this cell only."""
    code = held(gate, "words.add('omega')\nanswer = len(words)")
    first = run(kernel, code)
    kernel.listen(lambda: first.text)
    kernel.run(f"%kill {first.job}")
    assert kernel.run("sorted(words)").error.startswith("JobKilled")
    again = run(kernel, code)
    assert again.job != first.job
    gate.touch()
    assert kernel.run("answer, 'omega' in words").value == "(5, True)"
    kernel.run("words.discard('omega')")


def test_two_kernels_of_a_notebook_share_the_job_and_both_get_its_results(site: Site, gate: Path) -> None:
    with notebook(site) as one, notebook(site) as two:
        first = run(one, held(gate))
        second = run(two, held(gate))
        assert first.job == second.job
        gate.touch()
        for kernel in (one, two):
            assert kernel.run("answer").value == ANSWER


def test_a_cell_run_twice_shows_its_job_under_the_new_request(kernel: Kernel, gate: Path) -> None:
    kernel.run("maybe = 'old'")
    code = held(gate, "answer = 5\nif answer == 6:\n    maybe = 'new'\nprint('ended')")
    first = run(kernel, code)
    kernel.listen(lambda: first.text)
    second = run(kernel, code)
    assert second.job == first.job
    gate.touch()
    kernel.until_panel(second, "done")
    assert kernel.run("answer, maybe").value == "(5, 'old')"
    assert (first.text, second.text) == ("begun\n", "begun\nended\n")
    assert ": done (" not in first.panel


def test_what_can_t_be_compared_is_said(kernel: Kernel) -> None:
    kernel.run("import threading\nlock = threading.Lock()\ndef f():\n    return lock")
    first = kernel.until_panel(run(kernel, "%%batch\nunused = f"), "done")
    assert "lock can't be compared (cannot pickle '_thread.lock' object)" in first.panel
    assert run(kernel, "%%batch\nunused = f").job != first.job


def test_a_result_that_was_refused_is_not_offered_again(site: Site, gate: Path) -> None:
    with notebook(site) as kernel:
        first = run(kernel, held(gate))
        kernel.listen(lambda: first.text)
    gate.touch()
    result = folder_of(site, gate) / "0.result"
    wait(lambda: result.stat().st_size)
    result.write_bytes(bytes(result.stat().st_size))
    with notebook(site) as kernel:
        again = kernel.run(held(gate), {"cellId": "a"})
        assert again.job == first.job
        assert again.error.startswith("ResultRefused")
        assert "The result was not taken" in again.panel
        assert kernel.run("answer").error.startswith("ResultRefused")
        anew = run(kernel, held(gate))
        assert anew.job != first.job
        assert kernel.run("answer").value == ANSWER


def test_results_that_are_gone_are_computed_anew(kernel: Kernel, site: Site) -> None:
    code = "%%batch --cache\ngone = scaled(2)"
    first = kernel.until_panel(run(kernel, code), "done")
    newest = max((site.state / "spool" / "jobs").iterdir(), key=lambda path: path.stat().st_mtime)
    (newest / "0.result").unlink()
    again = kernel.until_panel(run(kernel, code), "done")
    assert again.job != first.job and kernel.run("gone").value == "6"


def test_a_chain_of_jobs_is_attached_to_and_brings_all_its_names(site: Site, gate: Path) -> None:
    cells = {
        "first": held(gate, "found = sum(data)"),
        "second": "%%batch\nsums['twice'] = found * 2",
        "third": "%%batch\nlast = sums['twice'] + found",
    }
    with notebook(site) as kernel:
        before = {name: run(kernel, code, name).job for name, code in cells.items()}
        kill(kernel, broker=False)
    with notebook(site) as kernel:
        again = {name: run(kernel, code, name) for name, code in cells.items()}
        assert {name: cell.job for name, cell in again.items()} == before
        gate.touch()
        for cell in again.values():
            kernel.until_panel(cell, "done")
        assert kernel.run("float(found), float(sums['twice']), float(last)").value == "(6.0, 12.0, 18.0)"
        assert kernel.run("sums['all'].total() + 0").value == "np.float64(18.0)"


def test_a_failed_cell_runs_again_on_the_old_value_also_if_another_was_to_change_it_next(
    kernel: Kernel, gate: Path
) -> None:
    kernel.run("rows, wrong = [1], True")
    first, second = held(gate, "rows.append(1 / (not wrong))"), "%%batch\nrows.append(3)"
    failing, skipped = run(kernel, first, "first"), run(kernel, second, "second")
    gate.touch()
    kernel.until_panel(failing, "failed")
    kernel.until_panel(skipped, "skipped")
    kernel.run("wrong = False")
    for code, cell in ((first, "first"), (second, "second")):
        kernel.until_panel(run(kernel, code, cell), "done")
    assert kernel.run("rows").value == "[1, 1.0, 3]"


def test_a_job_in_an_htcondor_pool_is_attached_to(pool: Pool) -> None:
    with make_site(backend="HTCondor") as site:
        site.environment.update(pool.environ)
        gate = site.root / "gate"
        with notebook(site) as kernel:
            first = run(kernel, held(gate))
            kernel.listen(lambda: first.text == "begun\n")
            kill(kernel, broker=True)
        with notebook(site) as kernel:
            again = run(kernel, held(gate))
            assert again.job == first.job and "HTCondor, cluster" in again.panel
            kernel.listen(lambda: again.text == "begun\n")
            gate.touch()
            kernel.until_panel(again, "done")
            assert kernel.run("answer").value == ANSWER
