"""Ganga jobs through the plugin: Ganga runs in a process and a gangadir of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from ganga_kernel.condor import runtime_path
from tests.pool import Pool, SpoolingPool

START = """
import atexit, json, os, sys, time
import ganga.ganga, ganga
from GangaCore.Core.InternalServices.ShutdownManager import _protected_ganga_exitfuncs as shut_down

def run(wait=True, **fields):
    job = ganga.Job(**fields)
    job.parallel_submit = False
    job.submit()
    if wait:
        finish(job)
    return job

def finish(job, states=("completed", "failed", "killed")):
    until(lambda: job.status in states)

def until(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "not within 60 s"
        time.sleep(0.1)

def read(job, name):
    return open(os.path.join(job.outputdir, name)).read()

def answer(**values):
    print("ANSWER", json.dumps(values), flush=True)
    atexit.unregister(shut_down)
    shut_down()
    os._exit(0)
"""


class Ganga:
    """Runs scripts, each in a new Ganga session on the same gangadir."""

    def __init__(self, home: Path, pool: Pool) -> None:
        self.home = home
        gangarc = home / "gangarc"
        gangarc.write_text(
            "# Ganga configuration file ($Name: Ganga-8-7-12 $)\n"
            f"[Configuration]\ngangadir={home}/gangadir\nReleaseNotes=False\n"
            f"RUNTIME_PATH={runtime_path()}\n"
            "[PollThread]\nautostart=True\nbase_poll_rate=1\n"
        )
        self.environ = {
            **os.environ,
            **pool.environ,
            "HOME": str(home),
            "GANGA_CONFIG_FILE": str(gangarc),
        }

    def __call__(self, script: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", START + script],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=150,
            stdin=subprocess.DEVNULL,
        )
        answers = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
        assert answers, done.stdout[-5000:] + done.stderr[-5000:]
        found: dict[str, Any] = json.loads(answers[-1].removeprefix("ANSWER "))
        return found


@pytest.fixture
def ganga(pool: Pool, tmp_path: Path) -> Ganga:
    return Ganga(tmp_path, pool)


def test_an_ordinary_executable(ganga: Ganga) -> None:
    told = ganga(
        """
j = run(application=ganga.Executable(exe="/bin/echo", args=["a b", "", "$x 'q'"]),
        backend=ganga.HTCondor(memory=64))
b = j.backend
script = os.path.join(os.environ["HOME"], "script.sh")
open(script, "w").write('#!/bin/sh\\ncat extra.txt; echo "$FROM"; echo made > made.txt; exit 5')
open(os.path.join(os.environ["HOME"], "extra.txt"), "w").write("extra ")
k = run(application=ganga.Executable(exe=ganga.File(script), args=[], env={"FROM": "env it's"}),
        inputfiles=[ganga.LocalFile("extra.txt", localDir=os.environ["HOME"])],
        backend=ganga.HTCondor())
named = run(application=ganga.Executable(exe="echo", args=["by name"]), backend=ganga.HTCondor())
modules = [m for m in sys.modules if m == "condor" or m.startswith("condor.")]
answer(status=j.status, exit_code=b.exit_code, state=b.status, host=b.host, out=read(j, "stdout"),
       failed=[k.status, k.backend.exit_code, read(k, "stdout"), read(k, "made.txt")],
       named=read(named, "stdout"), modules=modules)
"""
    )
    assert told["status"] == told["state"] == "completed"
    assert told["exit_code"] == 0
    assert told["host"]
    assert told["out"] == "a b  $x 'q'\n"
    assert told["failed"] == ["failed", 5, "extra env it's\n", "made\n"]
    assert told["named"] == "by name\n"
    assert told["modules"] == []


def test_files_are_spooled_to_a_schedd_that_sees_none(spooling_pool: SpoolingPool) -> None:
    told = Ganga(Path(tempfile.mkdtemp(dir=spooling_pool.hidden)), spooling_pool.pool)(
        """
j = run(application=ganga.Executable(exe="/bin/sh"),
        backend=ganga.HTCondor(schedd="remote@local", spool=True, memory=64),
        splitter=ganga.ArgSplitter(args=[["-c", "echo one"], ["-c", "echo two; exit 3"]]))
answer(states=[(s.status, s.backend.exit_code) for s in j.subjobs],
       out=[read(s, "stdout") for s in j.subjobs])
"""
    )
    assert told == {"states": [["completed", 0], ["failed", 3]], "out": ["one\n", "two\n"]}
    assert spooling_pool.pool.run("condor_q", "-name", "remote@local", "-af", "ClusterId") == ""


def test_subjobs_are_procs_of_one_cluster(ganga: Ganga) -> None:
    told = ganga(
        """
args = [["-c", 'echo "$0"', "x y"], ["-c", "exit 3"], ["-c", "echo 2 >file"]]
j = run(application=ganga.Executable(exe="/bin/sh"), backend=ganga.HTCondor(),
        splitter=ganga.ArgSplitter(args=args))
first = [(s.status, s.backend.cluster_id == j.backend.cluster_id, s.backend.proc_id,
          s.backend.exit_code) for s in j.subjobs]
files = [sorted(os.listdir(s.outputdir)) for s in j.subjobs]
out = read(j.subjobs(0), "stdout")
j.resubmit()
finish(j)
again = [s.backend.cluster_id == j.backend.cluster_id for s in j.subjobs]
g = run(application=ganga.Executable(exe="env", args=["printenv", "N"]), backend=ganga.HTCondor(),
        splitter=ganga.GenericSplitter(attribute="application.env",
                                       values=[{"N": "one"}, {"N": "two"}]))
generic = [read(s, "stdout") for s in g.subjobs]
answer(status=j.status, first=first, files=files, out=out, again=again,
       generic=generic)
"""
    )
    assert told["status"] == "failed"
    assert told["first"] == [
        ["completed", True, 0, 0],
        ["failed", True, 1, 3],
        ["completed", True, 2, 0],
    ]
    assert told["files"] == [
        ["stderr", "stdout"],
        ["stderr", "stdout"],
        ["file", "stderr", "stdout"],
    ]
    assert told["out"] == "x y\n"
    # Ganga resubmits what failed, in a new cluster.
    assert told["again"] == [False, True, False]
    assert told["generic"] == ["one\n", "two\n"]


def test_tasks_of_one_job_share_a_folder(ganga: Ganga, in_pool: Pool, tmp_path: Path) -> None:
    told = ganga(
        """
home = os.environ["HOME"]
folder = os.path.join(home, "folder")
os.mkdir(folder)
open(os.path.join(home, "in.txt"), "w").write("in")
script = 'cat in.txt; echo "$1" > "$1.result"; [ "$1" != 5 ] || [ -e "%s/go" ]' % home
j = run(application=ganga.Executable(exe="/bin/sh", args=["-c", script, "sh", "{task}"]),
        backend=ganga.HTCondor(folder=folder, items=[3, 5, 7], input_files=[home + "/in.txt"],
            output_files=["{task}.result"], attributes={"GangaKernelTest": "a token"}))
first = [j.status, j.backend.exit_code]
cluster = j.backend.cluster_id
open(os.path.join(home, "go"), "w").close()
again = j.backend.resubmit_items([5])
between = j.status
finish(j)
answer(first=first, between=between, status=j.status, cluster=cluster, again=again,
       last=j.backend.cluster_id, outputdir=os.path.exists(j.outputdir) and os.listdir(j.outputdir))
"""
    )
    assert told["first"] == ["failed", 1]
    assert told["between"] in {"submitted", "running"}
    assert told["status"] == "completed"
    assert told["last"] == told["again"] > told["cluster"]
    # Ganga removes an empty one.
    assert not told["outputdir"]
    names = [f"{task}.{kind}" for task in (3, 5, 7) for kind in ("events", "result", "stderr")]
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == [*names, "condor.log"]
    assert (tmp_path / "folder/5.events").read_text() == "in"
    from ganga_kernel.condor.schedd import Schedd

    assert Schedd().find_cluster("GangaKernelTest", "a token") == told["again"]


def test_hold_kill_and_refusal(ganga: Ganga) -> None:
    told = ganga(
        """
j = run(False, application=ganga.Executable(exe="/bin/sleep", args=["100"]),
        backend=ganga.HTCondor())
until(lambda: j.status == "running")
j.backend.hold("not now")
until(lambda: j.backend.status == "held")
held = [j.status, j.backend.reason, j.backend.code]
j.backend.release()
until(lambda: j.backend.status == "running")
j.kill()
until(lambda: j.backend.status == "removed" or j.status != "killed")
time.sleep(2)
killed = j.status
s = run(False, application=ganga.Executable(exe="/bin/sleep"), backend=ganga.HTCondor(),
        splitter=ganga.ArgSplitter(args=[["100"], ["101"]]))
until(lambda: all(x.backend.status == "running" for x in s.subjobs))
s.subjobs(0).kill()
one = [x.status for x in s.subjobs]
s.kill()
split = [x.status for x in s.subjobs]
try:
    bad = ganga.Job(application=ganga.Executable(exe="/bin/true"),
                    backend=ganga.HTCondor(requirements="((("))
    bad.parallel_submit = False
    bad.submit()
    refused = "no error"
except Exception as error:
    refused = type(error.__context__).__name__
answer(held=held, killed=killed, one=one, split=split, master=s.status, refused=refused,
       bad=bad.status)
"""
    )
    status, reason, code = told["held"]
    assert (status, code) == ("running", 1)
    assert "not now" in reason
    assert told["killed"] == "killed"
    assert told["one"] == ["killed", "running"]
    assert told["split"] == ["killed", "killed"]
    assert told["master"] == "killed"
    assert (told["refused"], told["bad"]) == ("SubmitRefused", "new")


def test_a_later_session_finishes_the_job(ganga: Ganga, tmp_path: Path) -> None:
    go = tmp_path / "go"
    first = ganga(
        f"""
wait = "while ! [ -e {go} ]; do sleep 0.1; done; exit 2"
j = run(False, application=ganga.Executable(exe="/bin/sh", args=["-c", wait]),
        backend=ganga.HTCondor())
until(lambda: j.status == "running")
answer(job=j.id)
"""
    )
    go.touch()
    second = ganga(
        f"""
j = ganga.jobs({first["job"]})
before = j.status
finish(j)
answer(before=before, after=j.status, exit_code=j.backend.exit_code)
"""
    )
    assert second == {"before": "running", "after": "failed", "exit_code": 2}
