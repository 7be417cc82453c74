"""The launcher, by hand and in the pool."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Callable[[str], list[Path]]]:
    """What is unpacked for all jobs of this user, of a digest of the test's own."""
    folder = Path(f"/tmp/ganga-kernel-{os.getuid()}")
    digests = []

    def found(digest: str) -> list[Path]:
        digests.append(digest)
        return sorted(folder.glob(f"{digest}-*"))

    yield found
    for digest in digests:
        for path in folder.glob(f"{digest}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def put_pack(sandbox: Path, digest: str, glibc: str = "2.2", machine: str = "", kb: int = 4) -> str:
    """A pack whose Python is this one."""
    root = sandbox / "root" / "bin"
    root.mkdir(parents=True, exist_ok=True)
    (root / "python").write_text(f'#!/bin/sh\nPACKED="$0" exec {sys.executable} "$@"\n')
    (root / "python").chmod(0o755)
    name = f"pack-{digest}-{machine or os.uname().machine}-{glibc}-{kb}.tar.gz"
    subprocess.run(["tar", "-czf", name, "-C", "root", "bin"], cwd=sandbox, check=True)
    return name


def test_a_pack_is_unpacked_once_for_all_jobs(
    sandbox: Path, shared: Callable[[str], list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = uuid.uuid4().hex
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    (sandbox / "cell.py").write_text(
        "import shutil\nprint(os.environ['PACKED'], shutil.which('python') == os.environ['PACKED'])"
    )
    assert not shared(digest)
    name = put_pack(sandbox, digest)
    code, out, err = launch(sandbox, name)
    (place,) = shared(digest)
    assert (code, out.splitlines()[1]) == (0, f"{place}/bin/python True"), err
    assert not (sandbox / name).exists() and place.parent.stat().st_mode & 0o777 == 0o700
    (place / "first").touch()
    code, out, _ = launch(sandbox, put_pack(sandbox, digest), setup="true")
    assert (code, out.splitlines()[1]) == (0, f"{place}/bin/python True")
    assert (place / "first").exists()
    (place / ".ready").unlink()  # half of it
    assert launch(sandbox, put_pack(sandbox, digest))[0] == 0
    assert shared(digest) == [place] and not (place / "first").exists()


def test_jobs_that_begin_at_once_unpack_once(sandbox: Path, shared: Callable[[str], list[Path]]) -> None:
    digest = uuid.uuid4().hex
    name = put_pack(sandbox, digest)
    (sandbox / "cell.py").write_text("print(os.environ['PACKED'])")
    running = []
    for number in range(4):
        own = sandbox / f"job{number}"
        own.mkdir()
        for file in ("launch", "payload.py", "cell.py", name):
            os.link(sandbox / file, own / file)
        running.append(subprocess.Popen(command(name), cwd=own, stdout=subprocess.PIPE, text=True))
    said = {process.communicate()[0].splitlines()[1] for process in running}
    assert said == {f"{place}/bin/python" for place in shared(digest)} and len(said) == 1


@pytest.mark.parametrize(
    ("pack", "says"),
    [
        (
            {"machine": "pdp11"},
            "PackDoesNotFit.* and the notebook's environment is for pdp11. Send the job to",
        ),
        (
            {"glibc": "2.999"},
            r"PackDoesNotFit.* has glibc 2\.\d+, and .* needs glibc 2.999. .*--requirements",
        ),
        ({"kb": 10**15}, "DiskFull.* has [0-9]+ MB of disk left .* needs 976562500000 MB. Ask .* --disk"),
    ],
)
def test_a_pack_that_does_not_fit_is_an_event(
    sandbox: Path, shared: Callable[[str], list[Path]], pack: dict[str, Any], says: str
) -> None:
    digest = uuid.uuid4().hex
    code, out, _ = launch(sandbox, put_pack(sandbox, digest, **pack))
    assert not shared(digest)
    assert code == 3 and re.search(says, out) and json.loads(out)["status"] == "broken"
    assert (sandbox / "4.result").exists()


def test_a_damaged_pack_is_an_event(sandbox: Path, shared: Callable[[str], list[Path]]) -> None:
    digest = uuid.uuid4().hex
    name = put_pack(sandbox, digest)
    (sandbox / name).write_bytes((sandbox / name).read_bytes()[:50])
    code, out, _ = launch(sandbox, name)
    assert code == 3 and re.search("PackDamaged.*could not unpack .*: .*unexpected end of file", out)
    assert not shared(digest)


def test_a_folder_of_somebody_else_is_not_used(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sandbox / "launch").write_text(launcher().replace("/tmp/ganga-kernel-", f"{sandbox}/theirs-"))
    (sandbox / f"theirs-{os.getuid()}").mkdir()
    (sandbox / f"theirs-{os.getuid()}").chmod(0o777)
    (sandbox / "cell.py").write_text("print(os.environ['PACKED'])")
    code, out, _ = launch(sandbox, put_pack(sandbox, uuid.uuid4().hex))
    assert (code, out.splitlines()[1]) == (0, f"{sandbox}/.environment/bin/python")


def test_a_disk_that_fills_up_is_an_event(sandbox: Path) -> None:
    (sandbox / "launch").write_text(launcher().replace("/tmp/ganga-kernel-", "/nowhere/"))
    (sandbox / "root" / "bin").mkdir(parents=True)
    (sandbox / "root" / "bin" / "large").write_bytes(bytes(2**20))
    name = put_pack(sandbox, uuid.uuid4().hex)
    (sandbox / "small").mkdir()
    script = f"""
        mount -t tmpfs -o size=200k small small && cp launch payload.py {name} small && cd small &&
        exec {shlex.join(command(name))}
    """
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=sandbox, capture_output=True, text=True)
    assert "DiskFull" in done.stdout and "was unpacked. Ask for more with --disk." in done.stdout, done
