"""A batch cell on Ganga's Local backend: it runs elsewhere, and nothing else changes."""

from __future__ import annotations

import os
import shutil
import time
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import psutil
import pytest

from tests.harness import Gate, Kernel, Site, make_site


@pytest.fixture(scope="module")
def kernel(site: Site) -> Kernel:  # type: ignore[misc]
    folder = site.root / "notebooks"
    folder.mkdir()
    (folder / "helpers.py").write_text("def triple(x):\n    return 3 * x\n")
    (folder / "data.txt").write_text("42")
    running = Kernel(site, cwd=folder, MY_VARIABLE="kept", MY_SECRET_TOKEN="hidden")
    yield running
    running.close()


@pytest.mark.parametrize(
    ("code", "metadata"),
    [
        ("%%batch\nby = 1", {}),
        ("\n\n%%batch   --cpus 1\nby = 1", {}),
        ("#| tags: [batch]\nby = 1", {}),
        ('# %% tags=["batch"]\nby = 1', {}),
        ("by = 1", {"tags": ["other", "batch"]}),
        ("by = 1", {"tags": ["batch:memory=1GB"]}),
    ],
)
def test_every_way_to_tag_a_cell(kernel: Kernel, code: str, metadata: dict[str, object]) -> None:
    kernel.run("by = 0")
    cell = kernel.run(code, metadata)
    kernel.until_panel(cell, "done")
    assert kernel.run("by").value == "1"


def test_outputs_names_and_value_come_back(kernel: Kernel) -> None:
    kernel.run("scale = 10\ndef scaled(x):\n    return scale * x")
    cell = kernel.batch(
        "import sys, os\n"
        "print('out'); print('err', file=sys.stderr)\n"
        "display({'text/html': '<b>rich</b>'}, raw=True)\n"
        "pid, answer = os.getpid(), scaled(4)\n"
        "answer + 1"
    )
    assert [name for name, _ in groupby(cell.of("stream"), itemgetter("name"))] == ["stdout", "stderr"]
    assert cell.of("display_data")[1]["data"] == {"text/html": "<b>rich</b>"}
    assert cell.value == "41"
    result = kernel.run("import os\nanswer, pid != os.getpid()")
    assert result.value == "(40, True)"
    assert cell.of("execute_result")[0]["execution_count"] == cell.reply["execution_count"]


def test_a_figure_appears(kernel: Kernel) -> None:
    cell = kernel.batch("import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])")
    assert any("image/png" in content["data"] for content in cell.of("display_data"))


def test_the_panel_goes_through_its_states_and_is_drawn_in_place(kernel: Kernel) -> None:
    cell = kernel.batch("import time; time.sleep(1)")
    kinds = [m["msg_type"] for m in cell.messages if "ganga_kernel" in m["content"].get("metadata", {})]
    assert kinds[0] == "display_data" and set(kinds[1:]) == {"update_display_data"}
    ids = {c["transient"]["display_id"] for c in cell.of("display_data", "update_display_data")}
    assert len(ids) == 1
    assert "running" in " ".join(cell.panels)
    assert "Local" in cell.panel and f"on {os.uname().nodename}" in cell.panel


def test_the_prompt_is_free_while_the_job_runs(kernel: Kernel, gate: Gate) -> None:
    batch = kernel.run(f"%%batch\n{gate.code}slow = 1")
    other = kernel.run("'meanwhile'")
    assert other.value == "'meanwhile'"
    gate.open()
    assert kernel.run("slow").value == "1"
    assert batch.states == ["busy", "idle"]


def test_a_cell_waits_for_the_names_that_it_reads_through_functions_too(kernel: Kernel) -> None:
    kernel.run("def reading():\n    return [late_name for _ in range(2)]")
    kernel.run("%%batch\nimport time; time.sleep(1); late_name = 5")
    cell = kernel.run("reading()")
    assert cell.value == "[5, 5]"
    assert cell.states == ["busy", "idle"]


def test_a_batch_cell_waits_for_the_names_that_it_reads(kernel: Kernel) -> None:
    first = kernel.run("%%batch\nimport time; time.sleep(1); step = 1")
    second = kernel.run("%%batch\nstep_two = step + 1")
    assert kernel.run("step_two").value == "2"
    assert "done" in first.panel and second.job == first.job + 1


def test_run_all_with_cells_in_the_queue_keeps_their_order(kernel: Kernel) -> None:
    cells = [
        kernel.send(code)
        for code in (
            "order = ['a']",
            "%%batch\nfrom_job = order + ['b']",
            "free = 'c'",
            "order = from_job + [free]",
            "%%batch\norder = order + ['d']",
            "order",
        )
    ]
    for cell in cells:
        kernel.finish(cell)
    assert cells[-1].value == "['a', 'b', 'c', 'd']"
    counts = [cell.reply["execution_count"] for cell in cells]
    assert counts == list(range(counts[0], counts[0] + 6))


def test_whatever_the_user_did_meanwhile_wins(kernel: Kernel, gate: Gate) -> None:
    cell = kernel.run(f"%%batch\n{gate.code}mine = 'the job'; other = 'the job'")
    kernel.run("mine = 'me'")
    gate.open()
    kernel.until_panel(cell, "done")
    assert kernel.run("mine, other").value == "('me', 'the job')"
    assert "Kept as you set them meanwhile: mine." in cell.panel


def test_a_name_that_the_job_didn_t_bind_gets_its_old_value_back(kernel: Kernel) -> None:
    kernel.run("maybe = 'old'")
    kernel.batch("if False:\n    maybe = 'new'")
    assert kernel.run("maybe").value == "'old'"


def test_touching_a_pending_name_unseen_says_which_job_it_waits_for(kernel: Kernel, gate: Gate) -> None:
    cell = kernel.run(f"%%batch\n{gate.code}unseen = 1")
    touched = kernel.run("globals()['unse' + 'en'] + 1")
    assert "PendingNameError" in touched.error and f"job {cell.job}" in touched.error
    gate.open()
    kernel.until_panel(cell, "done")


def test_a_failing_cell_shows_its_own_lines_and_fails_whoever_needs_it(kernel: Kernel) -> None:
    cell = kernel.run("%%batch\nprint('before')\nwrong = 1 / 0")
    kernel.until_panel(cell, "failed")
    assert cell.error == "ZeroDivisionError: division by zero"
    traceback = "\n".join(cell.of("error")[0]["traceback"])
    assert f"In[{cell.reply['execution_count']}]" in traceback.replace("\x1b[32m", "").replace("\x1b[39m", "")
    reader = kernel.run("wrong")
    assert reader.error == cell.error
    where, *lines = reader.of("error")[0]["traceback"]
    assert f"job {cell.job}" in where and lines == cell.of("error")[0]["traceback"]
    kernel.run("wrong = 2")
    assert kernel.run("wrong").value == "2"


def test_interrupt_ends_the_wait_and_not_the_job(kernel: Kernel, gate: Gate) -> None:
    batch = kernel.run(f"%%batch\n{gate.code}patient = 1")
    held = kernel.send("patient + 1")
    kernel.listen(lambda: "busy" in held.states)
    queued = kernel.send("print('after')")
    kernel.interrupt()
    kernel.finish(queued)
    assert held.reply["ename"] == "KeyboardInterrupt"
    assert queued.reply["status"] == "aborted"
    gate.open()
    kernel.until_panel(batch, "done")
    assert kernel.run("patient").value == "1"


def test_the_job_s_world_is_the_notebook_s(kernel: Kernel) -> None:
    """Files, modules beside the notebook, environment and interpreter; but no secrets."""
    kernel.batch(
        "import os, sys, helpers\n"
        "world = (open('data.txt').read(), helpers.triple(2), os.getcwd(), sys.executable,\n"
        "         os.environ['MY_VARIABLE'], os.environ.get('MY_SECRET_TOKEN'))"
    )
    result = kernel.run(
        "import os, sys\nworld == ('42', 6, os.getcwd(), sys.executable, 'kept', None), world"
    )
    assert result.value is not None and result.value.startswith("(True,"), result.value


def test_a_login_shell_s_profile_has_no_part_in_a_job(kernel: Kernel, site: Site) -> None:
    marks = site.root / "profile-was-read"
    (site.root / "home").mkdir()
    (site.root / "home" / ".bash_profile").write_text(f"touch {marks}\n")
    with make_site() as other:
        other.environment["HOME"] = str(site.root / "home")
        apart = Kernel(other)
        try:
            cell = apart.run("%%batch\nimport os\nos.environ['HOME']")
            apart.until_panel(cell, "done")
            assert cell.value == repr(str(site.root / "home"))
        finally:
            apart.close()
    assert not marks.exists()


def test_functions_of_the_notebook_share_the_job_s_namespace(kernel: Kernel) -> None:
    kernel.run("counter = 0\ndef count():\n    global counter\n    counter += 1")
    kernel.batch("count(); count()\ncounted = counter")
    assert kernel.run("counted").value == "2"


def test_what_the_job_defines_works_in_the_notebook(kernel: Kernel) -> None:
    kernel.batch(
        "class Vector:\n    def __init__(self, x): self.x = x\ndef norm(v): return abs(v.x) * unit\nunit = 2"
    )
    assert kernel.run("unit = 3\nnorm(Vector(-4))").value == "12"


def test_aliases_stay_aliases(kernel: Kernel) -> None:
    kernel.batch("one = [1]\ntwo = one")
    assert kernel.run("one is two").value == "True"


def test_a_name_that_can_t_travel_is_an_error_only_where_it_is_used(kernel: Kernel) -> None:
    kernel.run("import threading\nlock = threading.Lock()\ndef locked():\n    return lock.locked()")
    assert "lock can't travel" in kernel.batch("unused = locked").panel
    cell = kernel.run("%%batch\nused = locked()")
    kernel.until_panel(cell, "failed")
    assert "lock" in cell.error and "pickle" in cell.error


def test_kill(kernel: Kernel) -> None:
    cell = kernel.run("%%batch\nimport os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\nnever = 1")
    kernel.listen(lambda: cell.text)
    process = psutil.Process(int(cell.text))
    kernel.run(f"%kill {cell.job}")
    kernel.until_panel(cell, "killed")
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert kernel.run("never").error.startswith("JobKilled")


def test_a_crash_says_what_happened(kernel: Kernel) -> None:
    cell = kernel.run("%%batch\nimport ctypes\ncrashed = ctypes.string_at(0)")
    kernel.until_panel(cell, "lost")
    assert "SIGSEGV" in cell.panel and cell.error.startswith("JobLost")


def test_a_killed_process_is_noticed(kernel: Kernel) -> None:
    cell = kernel.run("%%batch\nimport os, time\nprint(os.getppid(), flush=True)\ntime.sleep(600)")
    kernel.listen(lambda: cell.text)
    wrapper = psutil.Process(int(cell.text))
    children = wrapper.children(recursive=True)
    wrapper.kill()
    kernel.until_panel(cell, "lost")
    for child in children:
        child.kill()
    assert "killed" in cell.panel


def test_more_jobs_than_cores_wait_their_turn(kernel: Kernel) -> None:
    cores = len(os.sched_getaffinity(0))
    code = "%%batch\nimport time; begun{0} = time.time(); time.sleep(0.7); ended{0} = time.time()"
    cells = [kernel.run(code.format(i)) for i in range(cores + 1)]
    for cell in cells:
        kernel.until_panel(cell, "done")
    spans = ", ".join(f"(begun{i}, ended{i})" for i in range(cores + 1))
    most = kernel.run(f"spans = [{spans}]\nmax(sum(b <= t < e for b, e in spans) for t, _ in spans)")
    assert most.value is not None and int(most.value) <= cores


def test_wait_and_jobs(kernel: Kernel) -> None:
    cells = [kernel.run(f"%%batch\nimport time; time.sleep(0.5); waited{i} = {i}") for i in range(2)]
    waited = kernel.run(f"%wait {cells[0].job} {cells[1].job}")
    assert waited.text == "".join(f"Job {cell.job}: done\n" for cell in cells)
    table = kernel.run("%jobs -n 2").text
    assert [line.split()[0] for line in table.splitlines()] == ["job", str(cells[1].job), str(cells[0].job)]


def test_headless_the_cell_ends_with_its_job(kernel: Kernel) -> None:
    """nbclient sends no cellId, and stops to listen at idle."""
    message = kernel.client.session.msg(
        "execute_request",
        {"code": "%%batch\nimport time; time.sleep(0.5); print('x'); headless = 1", "silent": False},
    )
    from tests.harness import Cell

    cell = kernel.cells[message["header"]["msg_id"]] = Cell(message["header"]["msg_id"])
    kernel.client.shell_channel.send(message)
    kernel.finish(cell)
    assert cell.text == "x\n" and ": done (" in cell.panel
    assert cell.messages[-1]["msg_type"] == "status"


def test_two_kernels_share_one_broker(kernel: Kernel, site: Site) -> None:
    other = Kernel(site)
    try:
        mine, its = kernel.batch("shared = 1"), other.batch("shared = 2")
        assert its.job != mine.job
        assert kernel.run("shared").value == "1" and other.run("shared").value == "2"
    finally:
        other.close()


def test_the_broker_survives_its_own_sigkill_and_so_does_the_job(kernel: Kernel, site: Site) -> None:
    cell = kernel.run(
        "%%batch\nimport time\nprint('one', flush=True)\ntime.sleep(4)\nprint('two')\nlived = 1"
    )
    kernel.listen(lambda: "one" in cell.text)
    broker = site.broker()
    assert broker is not None
    broker.kill()
    kernel.until_panel(cell, "done")
    assert cell.text == "one\ntwo\n"
    assert kernel.run("lived").value == "1"
    assert site.broker() != broker


def test_clear_output_in_the_job_leaves_the_panel(kernel: Kernel) -> None:
    cell = kernel.batch(
        "from IPython.display import clear_output\nprint('gone')\nclear_output()\nprint('stays')"
    )
    kinds = [m["msg_type"] for m in cell.messages]
    at = kinds.index("clear_output")
    assert "display_data" in kinds[at:] and ": done (" in cell.panel


def test_help_is_shown_in_the_pager(kernel: Kernel) -> None:
    payload = kernel.run("%%batch?").reply["payload"]
    assert "--memory" in payload[0]["data"]["text/plain"]


def test_the_spool_is_private(kernel: Kernel, site: Site) -> None:
    kernel.batch("1")
    folders = [site.state, *(p for p in (site.state / "spool").rglob("*") if p.is_dir())]
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
    keys = list(Path(site.state, "spool", "jobs").glob("*/secret"))
    assert keys and {key.stat().st_mode & 0o777 for key in keys} == {0o600}


def test_cells_that_share_a_loop_variable_run_side_by_side(kernel: Kernel, gate: Gate) -> None:
    """A name that a cell binds before it reads it is no dependency."""
    first = kernel.run(f"%%batch\n{gate.code}for i in range(4):\n    sum_a = i")
    second = kernel.run("%%batch\nfor i in range(3):\n    sum_b = i")
    ordinary = kernel.run("for i in range(2):\n    print(i)")
    assert ordinary.text == "0\n1\n"
    gate.open()
    for cell in (first, second):
        kernel.until_panel(cell, "done")
    assert kernel.run("sum_a, sum_b, i").value == "(3, 2, 1)"


def test_the_kernel_counts_as_busy_while_a_cell_waits(kernel: Kernel) -> None:
    """Front ends take the last state that they hear for the kernel's."""
    batch = kernel.send("%%batch\nimport time; time.sleep(1); busy_name = 1")
    reader = kernel.send("busy_name")
    kernel.finish(reader)
    states = [
        (cell is reader, message["content"]["execution_state"], message["header"]["date"])
        for cell in (batch, reader)
        for message in cell.messages
        if message["msg_type"] == "status"
    ]
    ordered = [(mine, state) for mine, state, _ in sorted(states, key=lambda found: found[2])]
    assert ordered == [(False, "busy"), (False, "idle"), (True, "busy"), (True, "idle")]


def test_wait_shows_a_job_of_another_kernel(kernel: Kernel, site: Site) -> None:
    other = Kernel(site)
    try:
        job = other.batch("print('over there')\nelsewhere = 1").job
    finally:
        other.close()
    shown = kernel.run(f"%wait {job}")
    assert "over there\n" in shown.text and ": done (" in shown.panel
    assert kernel.run("elsewhere").error.startswith("NameError")


def test_of_two_jobs_that_may_bind_a_name_each_has_its_say(kernel: Kernel) -> None:
    kernel.run("chained = 0")
    kernel.run("%%batch\nimport time; time.sleep(1); chained = 1")
    kernel.run("%%batch\nif False:\n    chained = 2")
    assert kernel.run("chained").value == "1"


def test_a_name_that_was_deleted_meanwhile_stays_so(kernel: Kernel, gate: Gate) -> None:
    cell = kernel.run(f"%%batch\n{gate.code}deleted = 1")
    kernel.run("del deleted")
    gate.open()
    kernel.until_panel(cell, "done")
    assert kernel.run("deleted").error.startswith("NameError")


def test_much_output_at_once_is_all_shown(kernel: Kernel, site: Site, gate: Gate) -> None:
    """Also what the broker finds when it comes back: the job's end counts after its output."""
    before = set((site.state / "spool" / "jobs").iterdir())
    cell = kernel.run(
        f"%%batch\nprint('begun', flush=True)\n{gate.code}"
        "for i in range(8):\n    print('x' * 10**6)\nmuch = 1"
    )
    (folder,) = set((site.state / "spool" / "jobs").iterdir()) - before
    kernel.listen(lambda: "begun" in cell.text)
    broker = site.broker()
    assert broker is not None
    broker.suspend()
    try:
        gate.open()
        kernel.listen(lambda: (folder / "0.result").exists())
    finally:
        broker.resume()
    kernel.until_panel(cell, "done")
    assert cell.text.count("x") == 8 * 10**6
    assert kernel.run("much").value == "1"


def test_a_kernel_that_was_frozen_hears_of_its_jobs_again(kernel: Kernel) -> None:
    cell = kernel.run("%%batch\nimport time; time.sleep(2); thawed = 1")
    wrapper = psutil.Process(kernel.pid)
    wrapper.suspend()
    time.sleep(18)  # the broker forgets a client after 15 s
    wrapper.resume()
    kernel.until_panel(cell, "done")
    assert kernel.run("thawed").value == "1"


def test_a_job_whose_folder_is_gone_hurts_nobody(kernel: Kernel, site: Site, gate: Gate) -> None:
    cores = range(len(os.sched_getaffinity(0)))
    busy = [kernel.run(f"%%batch\n{gate.code}held_core{i} = 1") for i in cores]
    for cell in busy:
        kernel.until_panel(cell, "running")
    waiting = kernel.run("%%batch\norphan = 1")
    kernel.until_panel(waiting, "queued")
    descriptions = (site.state / "spool" / "jobs").glob("*/job.json")
    (folder,) = (path.parent for path in descriptions if "orphan" in path.read_text())
    shutil.rmtree(folder)
    gate.open()
    kernel.until_panel(waiting, "refused")
    for cell in busy:
        kernel.until_panel(cell, "done")
    kernel.batch("after_orphan = 1")
    assert kernel.run("after_orphan").value == "1"


def test_a_comment_on_the_magic_s_line(kernel: Kernel) -> None:
    kernel.until_panel(kernel.run("%%batch --cpus 1   # or tag the cell\ncommented = 1"), "done")
    assert kernel.run("commented").value == "1"


def test_a_dry_run_shows_the_job_and_submits_nothing(kernel: Kernel) -> None:
    kernel.run("import threading\nlock = threading.Lock()\nshown_size = list(range(1000))\nwritten = []")
    before = kernel.run("%jobs").text
    cell = kernel.run("%%batch --dry-run --cpus 2\nwritten.append(len(shown_size)); dry = lock is None")
    said = cell.text
    assert cell.reply["status"] == "ok" and not cell.panel
    assert said.startswith(
        "Nothing was submitted. On Local, the cell would be 1 task.\nNames sent: shown_size ("
    )
    assert "lock can't travel: " in said and "Resources: --cpus 2." in said
    assert "Names that come back: dry, written.\nNames whose objects it may change: written." in said
    assert "job.json" in said and " -m " not in said and "Command:\n    /usr/bin/env" in said
    assert kernel.run("%jobs").text == before and kernel.run("written").value == "[]"
    assert kernel.run("dry").error.startswith("NameError")
    mapped = kernel.run("%%batch --dry-run --map x=range(30)\ny = x")
    assert " tasks for 30 items.\nNames sent: none." in mapped.text and "Commands:" in mapped.text
    mistyped = kernel.run("%%batch --dry-run --backend Lokal\n1")
    assert mistyped.error.startswith("UnknownBackend") and "Did you mean Local?" in mistyped.error
