"""A batch cell on a real HTCondor pool."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import Gate, Kernel, make_site
from tests.modules import modules_travel
from tests.notebooks import MEETING, code, panel, run, texts, write
from tests.pool import Pool


@pytest.fixture(scope="module")
def kernel(pool: Pool) -> Iterator[Kernel]:
    with make_site(
        backend="HTCondor", options={"memory": "200MB"}, idle_pause=2.0, site="cern", max_idle=12
    ) as site:
        site.environment.update(pool.environ)
        with site.config.open("a") as config:  # there are no credentials here that jobs could get
            config.write("c.Cern.commands = {}\n")
        folder = site.root / "notebooks"
        folder.mkdir()
        (folder / "helpers.py").write_text("def triple(x):\n    return 3 * x\n")
        (folder / "data.txt").write_text("42")
        running = Kernel(site, cwd=folder)
        yield running
        running.close()


def _cluster(cell_panel: str) -> str:
    return cell_panel.split("cluster ")[1].split(",")[0]


def test_a_batch_cell_runs_in_the_pool_and_its_results_come_back(kernel: Kernel) -> None:
    kernel.run("factor = 6\ndef times(x):\n    return factor * x")
    cell = kernel.batch(
        "import os, helpers\n"
        "print('slot', os.environ['_CONDOR_SLOT'])\n"
        "found = times(7), helpers.triple(1), open('data.txt').read()\n"
        "found[0] / 2"
    )
    assert kernel.run("found").value == "(42, 3, '42')"
    assert cell.text.startswith("slot") and cell.value == "21.0"
    assert "HTCondor, cluster" in cell.panel
    assert any(": running (" in panel for panel in cell.panels)


def test_logs_show_the_end_of_htcondor_s_log(kernel: Kernel) -> None:
    cell = kernel.batch("1 / 0", "failed")
    text = kernel.run(f"%logs {cell.job}").text
    assert f"(HTCondor, cluster {_cluster(cell.panel)}): failed" in text
    assert "condor.log, ends so:" in text and "Job executing on host" in text


def test_cells_hand_names_to_each_other_by_file_transfer(kernel: Kernel) -> None:
    kernel.run("total = [0]")
    kernel.run("%%batch\ntotal[0] += 20\ndef double(x): return x * 2")
    last = kernel.run("%%batch\ntotal[0] += 1\ndouble(total[0])")
    kernel.until_panel(last, "done")
    assert last.value == "42"
    assert kernel.run("total, double(total[0])").value == "([21], 42)"


def test_large_arrays_travel_as_files_of_their_own(kernel: Kernel) -> None:
    kernel.run("import numpy as np\nlarge = np.arange(1_500_000.)\nview = large[1:]\nread = large[:-1]")
    kernel.run("%%batch\nlarge[1] += 20\nbefore = float(read[2])")
    last = kernel.run("%%batch\nother = large.copy()\nother[0] = view[0]")
    kernel.until_panel(last, "done")
    assert kernel.run("before, [float(x) for x in (view[0], read[1], *other[:3])]").value == (
        "(2.0, [21.0, 21.0, 21.0, 21.0, 2.0])"
    )


def test_requests_reach_the_queue_and_the_weaker_defaults_give_way(kernel: Kernel, pool: Pool) -> None:
    kernel.run("%batch --cpus 1")
    cell = kernel.run("%%batch --memory 300MB --runtime 20min --disk 50MB\nimport time; time.sleep(600)")
    kernel.until_panel(cell, "running")
    cluster = _cluster(cell.panel)
    said = pool.run(
        "condor_q", cluster, "-af", "RequestMemory", "RequestCpus", "RequestDisk", "AllowedJobDuration",
    )  # fmt: skip
    assert said.split() == ["300", "1", "51200", "1200"]
    kernel.run(f"%kill {cell.job}")
    kernel.until_panel(cell, "killed")
    assert pool.run("condor_q", cluster, "-af", "JobStatus").strip() == ""


def test_a_dry_run_shows_the_very_description_that_is_submitted(kernel: Kernel) -> None:
    code = "--map x=range(12) --memory 321MB --requirements 'Memory > 100'\nrehearsed = x"
    shown = kernel.run(f"%%batch --dry-run {code}").text.partition("Submit description:\n")[2].splitlines()
    cell = kernel.run(f"%%batch {code}")
    kernel.until_panel(cell, "done")
    (saved,) = (
        json.loads(path.read_text())
        for path in kernel.site.state.rglob("condor.json")
        if f"ganga-kernel {cell.job}\\" in path.read_text()
    )
    lines = {name: value for name, _, value in (line.strip().partition(" = ") for line in shown)}
    folder, token = saved["description"]["initialdir"], saved["description"]["MY.GangaKernelJob"].strip('"')
    other = Path(lines["initialdir"]).name
    for name, value in saved["description"].items():
        assert lines[name].replace(other, token) == value.replace(f"kernel {cell.job}", "kernel N"), name
    assert folder.endswith(token)
    queue = ["queue task from (", *map(str, range(9)), "… (2 more)", "11", ")"]
    assert [line.strip() for line in shown[-13:]] == queue


def test_output_and_progress_stream_from_the_sandbox_and_are_followed(kernel: Kernel) -> None:
    cell = kernel.run(
        "%%batch\nimport os, sys, time\nfrom ganga_kernel import progress\n"
        "for n in os.listdir('/proc/self/fd'):\n"
        "    if os.path.exists(f'/proc/self/fd/{n}'): print('open', os.readlink(f'/proc/self/fd/{n}'))\n"
        "progress(3, 4)\nprint('early', file=sys.stderr, flush=True)\ntime.sleep(600)"
    )
    kernel.listen(lambda: "early\n" in cell.text and "3 of 4 done (75%)" in cell.panel)
    assert ": running (" in cell.panel
    # No file of the spool is open: what is seen here came by HTCondor's own streaming.
    assert "open /" in cell.text and str(kernel.site.state) not in cell.text
    followed = kernel.send(f"%logs {cell.job} -f")
    kernel.listen(lambda: "early\n" in followed.text and "Job executing on host" in followed.text)
    kernel.interrupt()
    kernel.finish(followed)
    assert followed.error.startswith("KeyboardInterrupt")
    assert kernel.run(f"%logs {cell.job} --stderr").text == "early\n"
    kernel.run(f"%kill {cell.job}")
    kernel.until_panel(cell, "killed")
    ended = kernel.run(f"%logs {cell.job} --events -f").text
    assert ended.startswith("000 (") and "Job was aborted" in ended
    assert ended.endswith(f"...\n--- Job {cell.job}: killed ---\n")


def test_a_failing_cell_shows_its_traceback(kernel: Kernel) -> None:
    cell = kernel.run("%%batch\nworse = {}['key']")
    kernel.until_panel(cell, "failed")
    assert cell.error == "KeyError: 'key'"
    assert kernel.run("worse").error == "KeyError: 'key'"


def test_a_held_job_says_why(kernel: Kernel, pool: Pool) -> None:
    cell = kernel.run("%%batch\nimport time; time.sleep(600)")
    kernel.until_panel(cell, "running")
    pool.run("condor_hold", "-reason", "the admin is curious", _cluster(cell.panel))
    kernel.until_panel(cell, "held")
    assert "the admin is curious" in cell.panel
    pool.run("condor_release", _cluster(cell.panel))
    kernel.until_panel(cell, "running", "queued")
    kernel.run(f"%kill {cell.job}")
    kernel.until_panel(cell, "killed")


def test_a_job_is_held_given_more_memory_and_released(kernel: Kernel, pool: Pool, gate: Gate) -> None:
    cell = kernel.run(f"%%batch\n{gate.code}print('went on'); spared = 1")
    kernel.until_panel(cell, "running")
    assert kernel.run(f"%hold {cell.job}").text == f"Job {cell.job}: put on hold\n"
    kernel.until_panel(cell, "held")
    assert f"Somebody put it on hold with %hold or condor_hold. %release {cell.job} lets" in cell.panel
    shown = kernel.run(f"%job {cell.job} --memory 222MB --runtime 3h")
    assert shown.text.startswith(f"Job {cell.job}: --memory 222MB --runtime 10800 from its next start on.")
    asked = pool.run("condor_q", _cluster(cell.panel), "-af", "RequestMemory", "AllowedJobDuration")
    assert asked.split() == ["222", "10800"]
    gate.open()
    kernel.run(f"%release {cell.job}")
    assert kernel.run("spared").value == "1"
    kernel.until_panel(cell, "done")
    assert kernel.run(f"%release {cell.job}").error.startswith(
        f"BackendError: Job {cell.job} has ended: done."
    )


def test_the_panel_says_what_is_left_of_what_the_site_allows(kernel: Kernel, pool: Pool, gate: Gate) -> None:
    cell = kernel.run(f'%%batch --set +JobFlavour="longlunch"\n{gate.code}limited = 1')
    kernel.listen(lambda: "of at most 2 h (JobFlavour longlunch), until" in cell.panel)
    cluster = _cluster(cell.panel)
    assert pool.run("condor_q", cluster, "-af", "JobFlavour").strip() == "longlunch"
    kernel.run(f"%hold {cell.job}")
    kernel.listen(lambda: "It is held, and deleted in 2" in cell.panel)
    kernel.run(f"%release {cell.job}")
    kernel.listen(lambda: "It was restarted 1 of at most 10 times." in cell.panel)
    gate.open()
    assert kernel.run("limited").value == "1"
    kernel.until_panel(cell, "done")
    assert "at most" not in cell.panel


def test_jobs_that_fit_nowhere_say_why_until_they_fit(kernel: Kernel) -> None:
    large = kernel.run("%%batch --memory 500GB\nlarge = 1")
    foreign = kernel.run("%%batch --requirements 'Arch == \"SPARC\"'\nforeign = 1")
    kernel.listen(lambda: "largest has" in large.panel and "SPARC" in foreign.panel)
    assert ": queued (" in large.panel and ": queued (" in foreign.panel
    assert "No slot of the pool has the 500GB of memory that it asks for: the largest has" in large.panel
    assert f"Ask for less: %job {large.job} --memory " in large.panel
    assert 'meets Arch == "SPARC", which it requires.' in foreign.panel
    kernel.run(f"%job {large.job} --memory 200MB")
    assert kernel.run("large").value == "1"
    kernel.until_panel(large, "done")
    assert "largest has" not in large.panel
    kernel.run(f"%kill {foreign.job}")
    kernel.until_panel(foreign, "killed")


def test_a_job_that_runs_for_too_long_says_so(kernel: Kernel) -> None:
    cell = kernel.run("%%batch --runtime 1s\nimport time; time.sleep(600)")
    kernel.until_panel(cell, "held")
    assert "It took longer, its file transfers included, than it was allowed to." in cell.panel
    kernel.run(f"%kill {cell.job}")
    kernel.until_panel(cell, "killed")


def test_a_job_removed_behind_our_back_is_lost_with_a_reason(kernel: Kernel, pool: Pool) -> None:
    cell = kernel.run("%%batch\nimport time; time.sleep(600); away = 1")
    kernel.until_panel(cell, "running")
    pool.run("condor_rm", _cluster(cell.panel))
    kernel.until_panel(cell, "lost")
    assert "Somebody removed it from HTCondor's queue with condor_rm. HTCondor says: via" in cell.panel
    assert kernel.run("away").error.startswith("JobLost")


def test_a_vacated_job_starts_anew_and_shows_each_line_once(
    kernel: Kernel, pool: Pool, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    kernel.run(f"gate = {str(gate)!r}")
    cell = kernel.run(
        "%%batch\nimport os, time\nprint('line', flush=True)\n"
        "while not os.path.exists(gate):\n    time.sleep(0.1)\n"
        "print('end'); vacated = 1"
    )
    kernel.listen(lambda: cell.text)
    followed = kernel.send(f"%logs {cell.job} -f --stdout")
    kernel.listen(lambda: followed.text)
    pool.run("condor_vacate_job", _cluster(cell.panel))
    kernel.listen(lambda: "attempt 2" in cell.panel)
    gate.touch()
    kernel.until_panel(cell, "done")
    lines = kernel.finish(followed).text.splitlines()
    title = f"--- Job {cell.job}:"
    assert lines == ["line", f"{title} starts anew, attempt 2 ---", "line", "end", f"{title} done ---"]
    kinds = [m["msg_type"] for m in cell.messages]
    again = len(kinds) - 1 - kinds[::-1].index("clear_output")
    shown = "".join(m["content"]["text"] for m in cell.messages[again:] if m["msg_type"] == "stream")
    assert shown == "line\nend\n"
    assert kernel.run("vacated").value == "1"


def test_the_job_goes_on_while_the_broker_is_away(kernel: Kernel) -> None:
    cell = kernel.run(
        "%%batch\nimport time\nprint('one', flush=True)\ntime.sleep(3)\nprint('two')\nstayed = 1"
    )
    kernel.listen(lambda: "one" in cell.text)
    kernel.site.kill_broker()
    kernel.until_panel(cell, "done")
    assert cell.text == "one\ntwo\n"
    assert kernel.run("stayed").value == "1"


def test_a_requirement_that_doesn_t_parse_is_refused_and_hurts_nobody(kernel: Kernel) -> None:
    cell = kernel.run("%%batch --requirements 'Memory > (100'\nrefused = 1")
    assert "--requirements is no ClassAd expression: Memory > (100\nIt misses 1 closing" in cell.error
    assert kernel.run("refused").error.startswith("NameError")
    kernel.batch("fine = 1")
    assert kernel.run("fine").value == "1"


def test_submit_commands_reach_the_queue(kernel: Kernel, pool: Pool, gate: Gate) -> None:
    kernel.run('%batch --set +Colour="red" --set +Site=1')
    cell = kernel.run(f'%%batch --set +Colour="dark blue" --set priority=7\n{gate.code}coloured = 1')
    kernel.run("%batch --set +Colour=undefined")
    kernel.until_panel(cell, "running")
    said = pool.run("condor_q", _cluster(cell.panel), "-af:j", "Colour", "Site", "JobPrio")
    assert said.split(maxsplit=1)[1].strip() == "dark blue 1 7"
    gate.open()
    kernel.until_panel(cell, "done")
    assert "--log has" not in kernel.run("%%batch --set log=/dev/null\nworse = 1").error


def test_without_a_browser_tagged_cells_run_side_by_side_in_the_pool(kernel: Kernel) -> None:
    notebook = write(
        kernel.site.root / "notebooks" / "meeting.ipynb",
        code(MEETING),
        code("meet('first', 'second')\nprint('they met')", "batch"),
        code("meet('second', 'first')\nimport os\nslot = os.environ['_CONDOR_SLOT']", "batch"),
        code("slot"),
    )
    ran = run(kernel.site, notebook)
    assert ran.exit_code == 0, ran.said
    _, first, second, last = ran.cells
    assert all(": done (HTCondor, cluster" in panel(cell) for cell in (first, second))
    assert texts(first) == "they met\n" and "slot" in last.outputs[0].data["text/plain"]


def test_the_items_of_a_map_are_procs_of_one_cluster(kernel: Kernel, pool: Pool) -> None:
    kernel.run("add = 1\ndef more(x): return x + add")
    cell = kernel.run("%%batch --map x=range(4)\nprint('item', x)\nif x == 9: 1 / 0\nmade = more(x)")
    kernel.until_panel(cell, "done")
    assert "4 of 4 items done" in cell.panel and "4 tasks" in cell.panel
    assert kernel.run("made").value == "[1, 2, 3, 4]"
    left = ("condor_history", _cluster(cell.panel), "-af", "ProcId")
    kernel.listen(lambda: sorted(pool.run(*left).split()) == ["0", "1", "2", "3"])


def test_a_failed_task_of_a_map_delivers_its_good_items(kernel: Kernel) -> None:
    cell = kernel.run("%%batch --allow-failures --chunk 3 --map x=range(5)\nworth = 6 / (x - 1)")
    kernel.until_panel(cell, "done")
    assert "4 of 5 items done, 1 failed" in cell.panel and "2 tasks" in cell.panel
    assert kernel.run("worth").value == "[-6.0, ZeroDivisionError('division by zero'), 6.0, 3.0, 2.0]"
    cell = kernel.run("%%batch --chunk 3 --map x=range(5)\nworse = 6 / (x - 1)")
    kernel.until_panel(cell, "failed")
    assert "4 of 5 items done, 1 failed" in cell.panel
    assert "items of job" in kernel.run("worse").error


def test_a_job_is_run_again_with_more_memory(kernel: Kernel, pool: Pool) -> None:
    kernel.run("base = 20")
    code = "import os\nif not os.path.exists('enough'): os.kill(os.getpid(), 9)\nbase += 1"
    first = kernel.batch(code, "lost")
    kernel.run("base = 30")  # which the job was submitted without
    (kernel.folder / "enough").touch()
    again = kernel.run(f"%resubmit {first.job} --memory 333MB")
    assert kernel.run("base").value == "21"
    kernel.until_panel(again, "done")
    asked = ("condor_history", _cluster(again.panel), "-limit", "1", "-af", "RequestMemory")
    kernel.listen(lambda: pool.run(*asked).strip() == "333")


def test_a_task_that_crashed_runs_again_and_one_that_failed_does_not(kernel: Kernel) -> None:
    kernel.run("import os, pathlib; been = os.path.abspath('been')")
    cell = kernel.run(
        "%%batch --retries 1\nhere = pathlib.Path(been)\nfirst = not here.exists()\nhere.touch()\n"
        "if first: os.kill(os.getpid(), 9)\nrevived = 1"
    )
    kernel.until_panel(cell, "done")
    assert "Attempt 2, since attempt 1 ended without a word from the cell. It was killed (SIG" in cell.panel
    assert kernel.run("revived").value == "1"
    cell = kernel.run("%%batch --retries 1\n1 / 0")
    kernel.until_panel(cell, "failed")
    assert "Attempt" not in cell.panel and "attempt" not in cell.panel


def test_a_crash_after_the_cell_s_end_starts_nothing_anew(kernel: Kernel, pool: Pool) -> None:
    crash = "import atexit, os\natexit.register(lambda: os.kill(os.getpid(), 9))\n"
    cell = kernel.run(f"%%batch --retries 99\n{crash}crashed = 1")
    kernel.until_panel(cell, "done")
    kernel.listen(lambda: pool.run("condor_q", _cluster(cell.panel), "-af", "JobStatus").strip() == "")
    assert kernel.run("crashed").value == "1"


def test_a_task_on_hold_for_its_memory_runs_again_with_more(kernel: Kernel, pool: Pool, gate: Gate) -> None:
    policy = (
        "--set 'periodic_hold=JobStatus == 2 && RequestMemory < 300' "
        "--set 'periodic_hold_reason=\"memory usage exceeded request_memory\"'"
    )
    cell = kernel.run(f"%%batch --memory 200MB --retry-memory 2x {policy}\n{gate.code}grown = 1")
    kernel.listen(lambda: "Attempt 2 with 400MB, after it used more memory than 200MB." in cell.panel)
    kernel.until_panel(cell, "running")
    assert pool.run("condor_q", _cluster(cell.panel), "-af", "RequestMemory").strip() == "400"
    gate.open()
    assert kernel.run("grown").value == "1"
    kernel.until_panel(cell, "done")
    table = [line.split() for line in kernel.run(f"%logs {cell.job}").text.splitlines() if "  " in line]
    assert ["used", "asked"] in table and any(
        row[0] == "memory" and row[-2:] == ["400", "MB"] for row in table
    )
    assert any(row[0] == "disk" for row in table if row)


def test_modules_beside_the_notebook_travel(kernel: Kernel, gate: Gate) -> None:
    modules_travel(kernel, gate)


def test_a_map_that_comes_into_the_queue_by_and_by_runs_each_item_once(
    kernel: Kernel, tmp_path: Path
) -> None:
    kernel.run(f"ran = {str(tmp_path / 'ran')!r}")
    cell = kernel.run("%%batch --map i=range(30) --chunk 1\nopen(ran, 'a').write(f'{i} ')\nsquare = i * i")
    kernel.until_panel(cell, "done")
    assert kernel.run("square == [i * i for i in range(30)]").value == "True"
    assert sorted((tmp_path / "ran").read_text().split(), key=int) == [str(i) for i in range(30)]


def test_a_task_of_a_map_is_killed_in_the_queue_and_the_others_go_on(
    kernel: Kernel, gate: Gate, pool: Pool
) -> None:
    cell = kernel.run(f"%%batch --map i=range(3) --chunk 1\n{gate.code}\nleft = i")
    kernel.listen(lambda: "3 tasks run" in cell.panel)
    kernel.run(f"%kill {cell.job}.1")
    kernel.listen(lambda: "Items 1: killed. This task was killed on request." in cell.panel)
    assert pool.run("condor_q", _cluster(cell.panel), "-af", "ProcId").split() == ["0", "2"]
    gate.open()
    kernel.until_panel(cell, "killed")
    kernel.until_panel(kernel.run(f"%resubmit {cell.job} --failed"), "done")
    assert kernel.run("left").value == "[0, 1, 2]"


def test_killing_a_map_ends_what_has_yet_to_come_into_the_queue(
    kernel: Kernel, gate: Gate, pool: Pool
) -> None:
    cell = kernel.run(f"%%batch --map i=range(300) --chunk 1\n{gate.code}\nnever = i")
    kernel.until_panel(cell, "running")
    of_cluster = (_cluster(cell.panel), "-af", "ProcId")
    assert 0 < len(pool.run("condor_q", *of_cluster).split()) < 300
    kernel.run(f"%kill {cell.job}")
    kernel.until_panel(cell, "killed")
    assert pool.run("condor_q", *of_cluster) == ""
    assert "JobKilled" in kernel.run("never").error
