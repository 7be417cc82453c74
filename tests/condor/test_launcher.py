"""The launcher, by hand and in the pool."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ganga_kernel.condor.launcher import launcher
from tests.condor.conftest import Cluster

PAYLOAD = """
import json, os, signal, sys
code, wait = 0, False
attempt = sys.argv[sys.argv.index("--attempt") + 1]
print(json.dumps({"attempt": int(attempt), "arguments": sys.argv[1:]}), flush=True)
exec(open("cell.py").read())
"""


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    (tmp_path / "launch").write_text(launcher())
    (tmp_path / "payload.py").write_text(PAYLOAD)
    (tmp_path / "cell.py").write_text("")
    return tmp_path


def command(python: str, task: str = "0", setup: str = "") -> list[str]:
    return ["/bin/sh", "launch", python, setup, "payload.py", "--job", "job.json", "--task", task]


def launch(
    sandbox: Path,
    python: str = sys.executable,
    ad: str | None = None,
    setup: str = "",
    more: tuple[str, ...] = (),
) -> tuple[int, str, str]:
    environ = {k: v for k, v in os.environ.items() if k != "_CONDOR_JOB_AD"}
    if ad is not None:
        (sandbox / ".job.ad").write_text(ad)
        environ["_CONDOR_JOB_AD"] = str(sandbox / ".job.ad")
    line = [*command(python, "4", setup), *more]
    done = subprocess.run(line, cwd=sandbox, env=environ, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_payload_gets_its_arguments_and_the_attempt(sandbox: Path) -> None:
    code, out, _ = launch(sandbox, ad="Cmd = 1\nNumJobStarts = 2\nNumShadowStarts = 9\n")
    assert code == 0
    assert json.loads(out) == {
        "attempt": 3,
        "arguments": ["--job", "job.json", "--task", "4", "--attempt", "3"],
    }
    assert (sandbox / "4.result").read_bytes() == (sandbox / "4.files").read_bytes() == b""


def test_without_a_job_ad_it_is_the_first_attempt(sandbox: Path) -> None:
    _, out, _ = launch(sandbox)
    assert json.loads(out)["attempt"] == 1


@pytest.mark.parametrize(
    ("cell", "code"),
    [("sys.exit(1)", 1), ("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGSEGV)", 139)],
)
def test_the_exit_code_is_the_payloads(sandbox: Path, cell: str, code: int) -> None:
    (sandbox / "cell.py").write_text(cell)
    assert launch(sandbox)[0] == code
    assert (sandbox / "4.result").exists()


def test_a_result_is_left_alone(sandbox: Path) -> None:
    (sandbox / "cell.py").write_text("open('4.result', 'w').write('result')")
    launch(sandbox)
    assert (sandbox / "4.result").read_text() == "result"


@pytest.mark.parametrize("python", ["/nowhere/bin/python", '/no "where" \\ $(x)', "folder", "text"])
def test_a_python_that_is_not_there_is_an_event(sandbox: Path, python: str) -> None:
    (sandbox / "folder").mkdir()
    (sandbox / "text").write_text("no program")
    (sandbox / "text").chmod(0o755 if os.getuid() == 0 else 0o644)
    if python == "text":
        (sandbox / "text").write_text("#!/nowhere/interpreter\n")
        (sandbox / "text").chmod(0o755)
        python = "./text"
    code, out, err = launch(sandbox, python)
    assert code == 3
    event = json.loads(out)
    assert (event["event"], event["status"]) == ("end", "broken")
    assert (event["attempt"], event["seq"]) == (1, 0)
    assert abs(event["time"] - time.time()) < 60
    assert event["error"]["ename"] == "PythonNotFound"
    assert python in event["error"]["evalue"]
    assert os.uname().nodename in event["error"]["evalue"]
    assert python in err
    assert (sandbox / "4.result").exists()


def test_a_name_is_looked_up(sandbox: Path) -> None:
    code, out, _ = launch(sandbox, "python3")
    assert code == 0 and json.loads(out)["attempt"] == 1


def test_setup_runs_first_in_bash_and_what_it_says_is_no_event(sandbox: Path) -> None:
    (sandbox / "bin").mkdir()
    (sandbox / "bin" / "mypython").symlink_to(sys.executable)
    (sandbox / "setup.sh").write_text(
        "[[ -n $BASH ]] && export MINE=\"a 'b' \\$c\"\nPATH=$PWD/bin:$PATH\necho hello\n"
    )
    (sandbox / "cell.py").write_text(
        "text = open(os.environ['_GANGA_KERNEL_BEFORE']).read()\n"
        "before = dict(pair.split('=', 1) for pair in text.split('\\0')[:-1])\n"
        "assert 'MINE' not in before and before['PATH'] != os.environ['PATH'], before\n"
        "assert not [n for n in os.environ if 'SETUP' in n]\n"
        "print(os.environ['MINE']); sys.exit(1)"
    )
    code, out, err = launch(sandbox, "mypython", setup="source ./setup.sh; echo 'it is' set")
    assert (code, out.splitlines()[1:]) == (1, ["a 'b' $c"])
    assert err == "hello\nit is set\n"
    assert sorted(path.name for path in sandbox.glob("4.*")) == ["4.files", "4.result"]


@pytest.mark.parametrize(
    ("setup", "says"),
    [
        ("source /nowhere/setup.sh", "exit code 1 (setup: line 5: /nowhere/setup.sh: No such file"),
        ("echo 'first'; nonsense 'x y'", "exit code 127 (setup: line 5: nonsense: command not found)"),
        ('echo "it\'s" over; exit 7', "exit code 7 (it's over)"),
        ("if", "syntax error"),
    ],
)
def test_a_setup_that_fails_is_an_event(sandbox: Path, setup: str, says: str) -> None:
    code, out, err = launch(sandbox, setup=setup)
    error = json.loads(out)["error"]
    assert (code, error["ename"]) == (3, "SetupFailed")
    assert f"could not run --setup {setup}: " in error["evalue"] and says in error["evalue"]
    assert says.split("(")[-1].rstrip(")") in err
    assert sorted(path.name for path in sandbox.glob("4.*")) == ["4.files", "4.result"]


def test_a_python_that_is_not_there_after_the_setup_is_an_event_in_the_file_of_events(sandbox: Path) -> None:
    more = ("--events", "4.events", "--result", "result")
    code, out, _ = launch(sandbox, "nopython", setup="true", more=more)
    assert (code, out) == (3, "")
    event = json.loads((sandbox / "4.events").read_text())
    assert (
        "has no Python at nopython. Choose one that the workers have with --python"
        in event["error"]["evalue"]
    )
    assert (sandbox / "result").read_bytes() == b"" and not (sandbox / "4.result").exists()


def test_sigterm_reaches_the_payload(sandbox: Path) -> None:
    (sandbox / "cell.py").write_text(
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint('ready', flush=True)\n"
        "while True: signal.pause()"
    )
    process = subprocess.Popen(command(sys.executable), cwd=sandbox, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline().startswith("{")
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 7
    assert (sandbox / "0.result").exists()


def test_a_vacated_job_runs_as_its_next_attempt(sandbox: Path, submit: Callable[..., Cluster]) -> None:
    go = sandbox / "go"
    (sandbox / "cell.py").write_text(
        f"import time\nwhile attempt == '1' and not os.path.exists({str(go)!r}): time.sleep(0.1)"
    )
    files = [str(sandbox / name) for name in ("launch", "payload.py", "cell.py")]
    cluster = submit(arguments=command(sys.executable)[1:], input_files=files, output_files=["{task}.result"])
    events = sandbox / "0.events"
    cluster.wait(lambda _: events.exists() and '"attempt": 1' in events.read_text())
    cluster.schedd.vacate(str(cluster.number))
    (end,) = cluster.finish().values()
    assert (end.state, end.exit_code) == ("completed", 0)
    assert any(seen.state == "evicted" for seen in cluster.seen)
    assert '"attempt": 2' in events.read_text()
    assert '"attempt": 1' not in events.read_text()
    assert (sandbox / "0.result").read_bytes() == b""
