"""Real jobs in a real pool: what HTCondor makes of our submit descriptions, and its log of us."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ganga_kernel.condor.description import Task
from ganga_kernel.condor.eventlog import WHOLE, EventLog, latest_of, reduce
from ganga_kernel.condor.schedd import Schedd, reachable
from ganga_kernel.errors import SubmitRefused
from tests.condor.conftest import Cluster
from tests.pool import Pool

Submit = Callable[..., Cluster]

PRINT_ARGUMENTS = "import json, sys; print(json.dumps(sys.argv[1:]))"
ARGUMENTS = [
    "plain",
    "a b",
    "",
    "it's",
    'say "hi"',
    "''",
    '"',
    "$HOME $(HOME) $ENV(HOME) $RANDOM_INTEGER(1,2) $F(x)",
    "$$ $$(x) $$([1]) $$$ $$$$(b) $(task)",
    "back\\slash\\",
    "tab\there",
    "ünï €",
    "#",
    "`id` %s ; | & > *",
    "--memory=4GB",
    " spaces ",
]


def test_a_job_completes_with_its_exit_code_and_output(submit: Submit, tmp_path: Path) -> None:
    cluster = submit(arguments=["-c", "echo out; echo err >&2; exit 3"])
    (end,) = cluster.finish().values()
    assert (end.state, end.exit_code, end.exit_signal) == ("completed", 3, None)
    assert (tmp_path / "0.events").read_text() == "out\n"
    assert (tmp_path / "0.stderr").read_text() == "err\n"
    states = [seen.state for seen in cluster.seen]
    assert states[0] == "queued"
    assert states.index("running") < states.index("completed")
    running = next(seen for seen in cluster.seen if seen.state == "running")
    assert running.host
    assert running.slot.startswith("slot")


def test_a_signal_is_told(submit: Submit) -> None:
    (end,) = submit(arguments=["-c", "kill -SEGV $$"]).finish().values()
    assert (end.exit_code, end.exit_signal) == (None, 11)


def test_arguments_and_environment_arrive_exactly(submit: Submit, tmp_path: Path) -> None:
    script = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ['X_TEST']]))"
    environment = {"X_TEST": " ".join(ARGUMENTS)}
    cluster = submit(sys.executable, arguments=["-c", script, *ARGUMENTS], environment=environment)
    cluster.finish()
    assert json.loads((tmp_path / "0.events").read_text()) == [ARGUMENTS, environment["X_TEST"]]


def test_each_task_has_its_own_arguments(submit: Submit, tmp_path: Path) -> None:
    tasks = [Task(str(n), arguments=["-c", PRINT_ARGUMENTS, text]) for n, text in enumerate(ARGUMENTS)]
    ends = submit(sys.executable, tasks).finish()
    assert [ends[proc].exit_code for proc in sorted(ends)] == [0] * len(ARGUMENTS)
    got = [json.loads((tmp_path / f"{n}.events").read_text()) for n in range(len(ARGUMENTS))]
    assert got == [[text] for text in ARGUMENTS]


def test_task_numbers_name_the_files(submit: Submit, tmp_path: Path) -> None:
    script = 'echo "$1 says $2"; echo r > "$1.result"'
    cluster = submit(
        tasks=[Task("3"), Task("7")],
        arguments=["-c", script, "sh", "{task}", "$(task)"],
        output_files=["{task}.result"],
    )
    assert {seen.exit_code for seen in cluster.finish().values()} == {0}
    assert (tmp_path / "3.events").read_text() == "3 says $(task)\n"
    assert (tmp_path / "7.events").read_text() == "7 says $(task)\n"
    assert (tmp_path / "7.result").read_text() == "r\n"


def test_difficult_paths_work(submit: Submit, tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s $HOME, $(x) "and" ünï'
    sent = tmp_path / "a file $(HOME).txt"
    folder.mkdir()
    sent.write_text("sent")
    cluster = submit(
        folder=folder,
        input_files=[str(sent)],
        arguments=["-c", "cat 'a file $(HOME).txt'; echo x > 0.result"],
        output_files=["{task}.result"],
    )
    cluster.finish()
    assert (folder / "0.events").read_text() == "sent"
    assert (folder / "0.result").read_text() == "x\n"


def test_nothing_but_the_named_files_comes_back(submit: Submit, tmp_path: Path) -> None:
    submit(arguments=["-c", "touch new"]).finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0.events",
        "0.stderr",
        "condor.log",
    ]


def test_output_streams_while_the_job_runs(submit: Submit, tmp_path: Path) -> None:
    cluster = submit(arguments=["-c", "echo first; sleep 100"])
    events = tmp_path / "0.events"
    cluster.wait(lambda _: events.exists() and events.read_text() == "first\n")
    assert cluster.states[0].state == "running"


def test_a_removed_job_says_why(submit: Submit) -> None:
    cluster = submit(arguments=["-c", "sleep 100"])
    cluster.wait_for("running")
    assert cluster.schedd.remove(str(cluster.number), "enough of it") == 1
    assert "enough of it" in cluster.wait_for("removed").reason
    assert cluster.schedd.remove(str(cluster.number), "again") == 0


def test_tasks_that_come_into_the_queue_by_and_by_all_run_once(submit: Submit, tmp_path: Path) -> None:
    tasks = [Task(f"t{i}") for i in range(24)]
    cluster = submit(tasks=tasks, arguments=["-c", "echo {task}"], max_idle=12)
    assert len(cluster.schedd.query(f"ClusterId == {cluster.number}", ["ProcId"])) < 24
    cluster.wait(lambda states: WHOLE in states)
    assert all(cluster.states[proc].state == "completed" for proc in range(24))
    assert all((tmp_path / f"{task.name}.events").read_text() == f"{task.name}\n" for task in tasks)


def test_what_is_done_to_a_cluster_reaches_tasks_that_have_yet_to_come_into_the_queue(submit: Submit) -> None:
    cluster = submit(
        tasks=[Task(str(i)) for i in range(200)], memory=50, arguments=["-c", "sleep 100"], max_idle=2
    )
    of_cluster = f"ClusterId == {cluster.number}"
    cluster.schedd.hold(str(cluster.number), "wait a bit")
    cluster.wait_for("held")
    cluster.schedd.edit(str(cluster.number), {"RequestMemory": 60})
    cluster.schedd.release(str(cluster.number), "go on")
    cluster.wait_for("running", 3)
    asked = {ad["ProcId"]: ad["RequestMemory"] for ad in cluster.schedd.query(of_cluster)}
    assert len(asked) < 200 and set(asked.values()) == {60}
    cluster.schedd.remove(str(cluster.number), "enough of it")
    cluster.wait(lambda states: WHOLE in states)
    for seen in (reduce(cluster.seen), reduce(cluster.schedd.observe(cluster.number))):
        assert {latest_of(seen, cluster.number, proc).state for proc in range(200)} == {"removed"}


def test_one_task_of_many_is_removed(submit: Submit) -> None:
    cluster = submit(tasks=[Task("0"), Task("1")], arguments=["-c", "sleep 100"])
    cluster.wait_for("running", 1)
    cluster.schedd.remove(f"{cluster.number}.1", "one too many")
    cluster.wait_for("removed", 1)
    assert cluster.states[0].state != "removed"


def test_hold_and_release_carry_a_reason(submit: Submit) -> None:
    cluster = submit(arguments=["-c", "sleep 100"])
    cluster.wait_for("running")
    cluster.schedd.hold(str(cluster.number), "wait a bit")
    held = cluster.wait_for("held")
    assert "wait a bit" in held.reason
    cluster.schedd.release(str(cluster.number), "go on")
    cluster.wait_for("running")
    assert any(seen.state == "released" and "go on" in seen.reason for seen in cluster.seen)


def test_a_missing_input_file_holds_the_job(submit: Submit, tmp_path: Path) -> None:
    cluster = submit(arguments=["-c", "true"], input_files=[str(tmp_path / "nowhere")])
    held = cluster.wait_for("held")
    assert held.code == 13
    assert held.subcode == 2
    assert "nowhere" in held.reason
    (queried,) = cluster.schedd.observe(cluster.number)
    assert (queried.state, queried.code, queried.reason) == ("held", 13, held.reason)


def test_a_missing_output_file_holds_the_job(submit: Submit) -> None:
    held = submit(arguments=["-c", "true"], output_files=["0.result"]).wait_for("held")
    assert held.code == 12
    assert "0.result" in held.reason


def test_queue_and_history_tell_the_same_as_the_log(submit: Submit) -> None:
    cluster = submit(tasks=[Task("0", arguments=["-c", "exit 0"]), Task("1", arguments=["-c", "exit 4"])])
    cluster.finish()
    schedd = cluster.schedd
    cluster.wait(lambda _: len(schedd.observe(cluster.number)) == 3)
    told = [(seen.proc, seen.state, seen.exit_code) for seen in schedd.observe(cluster.number)]
    assert told == [(0, "completed", 0), (1, "completed", 4), (WHOLE, "removed", None)]


def test_another_process_goes_on_reading_the_log(submit: Submit, tmp_path: Path) -> None:
    cluster = submit(arguments=["-c", "while ! [ -e /nonexistent ]; do sleep 0.1; done"])
    cluster.wait_for("running")
    offset = cluster.log.offset
    before = len(cluster.seen)
    cluster.schedd.remove(str(cluster.number), "seen by the other process only")
    cluster.wait_for("removed")
    script = (
        "import sys; from ganga_kernel.condor.eventlog import EventLog\n"
        f"log = EventLog({str(tmp_path / 'condor.log')!r}, {offset})\n"
        "for seen in log.read(): print(seen)\n"
        "print(log.offset)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert lines == [str(seen) for seen in cluster.seen[before:]]
    assert int(last) == cluster.log.offset == EventLog(tmp_path / "condor.log", int(last)).offset


def test_a_cluster_is_found_by_its_attribute(submit: Submit) -> None:
    token = 'a "token" \\ of $1'
    cluster = submit(arguments=["-c", "sleep 100"], attributes={"GangaKernelTest": token})
    assert Schedd().find_cluster("GangaKernelTest", token) == cluster.number
    assert Schedd().find_cluster("GangaKernelTest", "another") is None
    submitted = cluster.states[0].time
    cluster.schedd.remove(str(cluster.number), "to the history")
    cluster.wait_for("removed")
    cluster.wait(lambda _: not cluster.schedd.query(f"ClusterId == {cluster.number}"))
    assert Schedd().find_cluster("GangaKernelTest", token) == cluster.number
    assert Schedd().find_cluster("GangaKernelTest", token, since=submitted) == cluster.number
    assert Schedd().find_cluster("GangaKernelTest", token, since=submitted + 3600) is None


def test_what_was_asked_for_is_in_the_ad(submit: Submit) -> None:
    cluster = submit(
        arguments=["-c", "sleep 100"],
        memory=77,
        disk=2,
        cpus=1,
        max_runtime=600,
        rank="Memory",
        requirements="TARGET.Memory > 1",
        accounting_group="physics.me",
        batch_name='cell "7" $x',
        extra={"job_lease_duration": "1234", "+Colour": '"blue"'},
    )
    (ad,) = cluster.schedd.query(f"ClusterId == {cluster.number}")
    names = "RequestMemory RequestDisk RequestCpus AllowedJobDuration JobLeaseDuration".split()
    assert [ad[name] for name in names] == [77, 2048, 1, 600, 1234]
    assert ad["JobBatchName"] == 'cell "7" $x'
    assert ad["Colour"] == "blue"
    assert str(ad["AcctGroup"]) == "physics.me"
    assert "Memory > 1" in str(ad["Requirements"])


def test_a_refusal_has_the_schedds_own_words(submit: Submit, tmp_path: Path) -> None:
    with pytest.raises(SubmitRefused, match=r"(?s)Parse error.*\(\(\(.*requirements"):
        submit(requirements="(((")
    with pytest.raises(SubmitRefused, match="doesn't exist"):
        submit(folder=tmp_path / "nowhere")


def test_the_schedd_is_in_reach_and_has_a_version(in_pool: Pool) -> None:
    assert reachable()
    versions = Schedd().versions()
    assert versions["bindings"].count(".") == versions["daemon"].count(".") == 2
