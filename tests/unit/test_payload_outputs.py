"""What a cell writes arrives whole and in order, whoever writes it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from test_payload_harness import Result, command, prepare, run_cell

from ganga_kernel.payload.outputs import whole_lines

C_PRINT = "import ctypes\nlibc = ctypes.CDLL(None)\n"


def test_many_prints_are_fast_and_few(tmp_path: Path) -> None:
    result = run_cell(tmp_path, "for i in range(20_000): print('line', i)")
    assert result.text() == "".join(f"line {i}\n" for i in range(20_000))
    assert len(result.pieces) < 200


@pytest.mark.parametrize(
    ("text", "held_back", "sent"),
    [
        ("line\nbegun", False, "line\n"),
        ("begun", False, ""),
        ("begun", True, "begun"),
        ("\r10%\r20%", True, "\r10%\r20%"),
        ("line\n", False, "line\n"),
    ],
)
def test_a_line_that_is_being_written_is_no_output_yet(text: str, held_back: bool, sent: str) -> None:
    assert text[: whole_lines(text, held_back)] == sent


def test_text_arrives_while_the_cell_runs(tmp_path: Path) -> None:
    result = run_cell(
        tmp_path,
        "import time, os\nprint('a', end='')\ntime.sleep(.5)\n"
        "os.system('echo b')\ntime.sleep(.5)\nprint('c')",
    )
    texts = [o["content"]["text"] for o in result.pieces]
    assert texts == ["a", "b\n", "c\n"]
    first = next(event for event in result.events if event["event"] == "output")
    assert result.end["time"] - first["time"] > 0.4  # of the second that the cell sleeps


def test_order_of_python_c_child_processes_and_displays(tmp_path: Path) -> None:
    source = C_PRINT + (
        "import os, sys, subprocess\n"
        "print('1 python')\n"
        "libc.printf(b'2 C\\n')\n"
        "print('3 python')\n"
        "subprocess.run(['echo', '4 child'])\n"
        "display(5)\n"
        "os.write(1, b'6 descriptor\\n')\n"
        "print('7 python')\n"
        "sys.stderr.write('8 error\\n')\n"
        "libc.puts(b'9 C')\n"
        "sys.stdout.buffer.write('10 bytes ä\\n'.encode())\n"
        "sys.__stdout__.write('11 original\\n'); sys.__stdout__.flush()\n"
        "os.system('echo 12 child >&2')\n"
        "print('13 python')\n"
        "libc.printf(b'14 C')\n"
    )
    assert run_cell(tmp_path, source).shown() == [
        ("stdout", "1 python\n2 C\n3 python\n4 child\n"),
        ("display_data", {"text/plain": "5"}),
        ("stdout", "6 descriptor\n7 python\n"),
        ("stderr", "8 error\n"),
        ("stdout", "9 C\n10 bytes ä\n11 original\n"),
        ("stderr", "12 child\n"),
        ("stdout", "13 python\n14 C"),
        ("execute_result", {"text/plain": "4"}),
    ]


def test_c_code_that_prints_much_while_it_holds_the_gil(tmp_path: Path) -> None:
    source = (
        "import ctypes\nlibc = ctypes.PyDLL(None)\n"
        "for i in range(3000): libc.printf(b'x' * 1000 + b'\\n')\nNone"
    )
    result = run_cell(tmp_path, source)
    assert result.text() == ("x" * 1000 + "\n") * 3000


def test_unfinished_and_broken_utf8(tmp_path: Path) -> None:
    source = (
        "import os, time\nb = 'ä'.encode()\nos.write(1, b[:1]); time.sleep(.2); os.write(1, b[1:])\n"
        "os.write(1, b'|\\xff|'); time.sleep(.1); os.write(1, b[:1]);"
    )
    assert run_cell(tmp_path, source).text() == "ä|\N{REPLACEMENT CHARACTER}|\N{REPLACEMENT CHARACTER}"


def test_streams_behave_like_files(tmp_path: Path) -> None:
    source = (
        "import sys, logging\n"
        "print(sys.stdout.isatty(), sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.encoding)\n"
        "sys.stdout.writelines(['a', 'b\\n'])\n"
        "try: sys.stdout.write(b'x')\nexcept TypeError as e: print(e)\n"
        "sys.stdout.close(); print('still open', sys.stdout.closed)\n"
        "logging.basicConfig(); logging.warning('logged')"
    )
    result = run_cell(tmp_path, source)
    assert result.text() == (
        "False 1 2 utf-8\nab\nwrite() argument must be str, not bytes\nstill open False\n"
    )
    assert result.text("stderr") == "WARNING:root:logged\n"


def test_threads(tmp_path: Path) -> None:
    source = (
        "import threading, sys\n"
        "ts = [threading.Thread(target=lambda i=i: [sys.stdout.write(f'{i}:{j}\\n') for j in range(500)])"
        " for i in range(4)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts];"
    )
    lines = run_cell(tmp_path, source).text().split()
    assert sorted(lines) == sorted(f"{i}:{j}" for i in range(4) for j in range(500))


def test_lone_surrogates_and_big_outputs(tmp_path: Path) -> None:
    result = run_cell(
        tmp_path,
        "print('\\udc80')\ndisplay({'text/plain': 'x', 'image/png': b'y' * 5_000_000}, raw=True)\n"
        "print('z' * 5_000_000)",
    )
    assert result.code == 0
    assert len(result.outputs[1]["content"]["data"]["image/png"]) > 6_000_000
    assert result.text().endswith("z\n") and len(result.text()) == 5_000_003


def test_forked_children(tmp_path: Path) -> None:
    source = (
        "import multiprocessing as mp, os, sys\n"
        "print('before', end=' ')\n"
        "def work(i):\n"
        "    print('child', i, flush=True); display(i); sys.stderr.write('e\\n'); return i * i\n"
        "with mp.get_context('fork').Pool(3) as pool: squares = pool.map(work, range(6))\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    print('raw child'); os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "print('after')\n"
        "squares"
    )
    result = run_cell(tmp_path, source)
    assert result.code == 0, result.end
    assert [e["seq"] for e in result.events] == list(range(len(result.events)))
    text = result.text()
    assert text.startswith("before ") and text.count("before") == 1
    assert sorted(text.split()) == sorted(
        ["before", "raw", "child", "after"] + ["child"] * 6 + [str(i) for i in range(6)] * 2
    )
    assert result.text("stderr") == "e\n" * 6
    assert result.shown()[-1] == ("execute_result", {"text/plain": "[0, 1, 4, 9, 16, 25]"})


def test_child_that_runs_to_the_end_of_the_cell(tmp_path: Path) -> None:
    source = "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint('end', pid > 0)\nx = pid"
    result = run_cell(tmp_path, source)
    assert sorted(result.text().splitlines()) == ["end False", "end True"]
    assert result.names()["x"] > 0 and result.end["status"] == "ok"


def test_events_file(tmp_path: Path) -> None:
    result = run_cell(tmp_path, "print('x')", events=True)
    assert result.stdout == "" and result.text() == "x\n"
    assert (tmp_path / "0.events").stat().st_mode & 0o777 == 0o600


def test_input_is_refused(tmp_path: Path) -> None:
    result = run_cell(tmp_path, "x = 1\nx = input('Name? ')")
    error = result.end["error"]
    assert error["ename"] == "StdinNotImplementedError"
    assert "a batch cell can't ask for input" in error["evalue"]
    text = "\n".join(error["traceback"])
    assert "payload" not in text and "_ganga_kernel" not in text
    assert "In[7]" in text.replace("\x1b[39m", "").replace("\x1b[32m", "")
    assert run_cell(tmp_path, "import getpass\ngetpass.getpass()").code == 1


def test_lines_after_the_batch_line_have_their_own_numbers(tmp_path: Path) -> None:
    assert "line 3" in "".join(run_cell(tmp_path, "\nx = 1\n1/0").end["error"]["traceback"])
    assert run_cell(tmp_path, "\n\n%%capture out\nprint(1)").end["status"] == "ok"
    assert run_cell(tmp_path, "\n%pwd\n").end["status"] == "ok"
    assert run_cell(tmp_path, "\n    x = 1\n    x").shown()[-1][0] == "execute_result"
    assert run_cell(tmp_path, "").end["status"] == "ok"
    assert run_cell(tmp_path, "\n\n").end["status"] == "ok"


def test_exit_does_not_lose_the_result(tmp_path: Path) -> None:
    result = run_cell(tmp_path, "x = 1\nexit()")
    assert (result.end["status"], result.names()) == ("ok", {"x": 1})


def test_usage(tmp_path: Path) -> None:
    usage = run_cell(tmp_path, "x = bytearray(200_000_000)\nsum(range(10_000_000));").end["usage"]
    assert usage["memory"] > 200_000_000
    assert 0.05 < usage["cpu"] < 20 and 0 < usage["wall"] < 20


def start(folder: Path, source: str, until: str) -> subprocess.Popen[str]:
    """Start a cell, and wait until it has written `until`."""
    prepare(folder, source)
    process = subprocess.Popen(
        command(folder, events=True), cwd=folder, stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while until not in (folder / "0.events").read_text() if (folder / "0.events").exists() else True:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    return process


def finish(process: subprocess.Popen[str], folder: Path) -> Result:
    out, err = process.communicate(timeout=60)
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    return Result(folder, done, "")


@pytest.mark.parametrize(
    "wait", ["import time; time.sleep(60)", "import ctypes; ctypes.CDLL(None).sleep(60)"]
)
def test_sigterm(tmp_path: Path, wait: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    process = start(tmp_path, f"print('begun', flush=True)\nprint('rest', end='')\n{wait}", "rest")
    process.send_signal(signal.SIGTERM)
    result = finish(process, tmp_path)
    assert result.code == 143
    assert result.end["status"] == "terminated" and result.end["error"]["ename"] == "Terminated"
    assert "batch system" in result.end["error"]["evalue"]
    assert result.text() == "begun\nrest"
    assert (tmp_path / "0.result").read_bytes() == b""
    assert list(scratch.iterdir()) == []


def test_sigterm_that_the_cell_handles_itself(tmp_path: Path) -> None:
    source = (
        "import os, signal\nseen = []\nsignal.signal(signal.SIGTERM, lambda n, f: seen.append(n))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\nimport time; time.sleep(.2)\nseen"
    )
    assert run_cell(tmp_path, source).shown()[-1] == ("execute_result", {"text/plain": "[15]"})


def test_sigterm_of_a_child_is_not_ours(tmp_path: Path) -> None:
    source = (
        "import os, signal, time, threading, multiprocessing as mp\n"
        "ctx = mp.get_context('fork')\n"
        "p = ctx.Process(target=time.sleep, args=(60,)); p.start(); time.sleep(.2)\n"
        "p.terminate(); p.join()\n"
        "def fork():\n"
        "    global q\n"
        "    q = ctx.Process(target=time.sleep, args=(60,)); q.start()\n"
        "t = threading.Thread(target=fork); t.start(); t.join(); time.sleep(.2)\n"
        "q.terminate(); q.join(); time.sleep(.2)\n"
        "p.exitcode, q.exitcode"
    )
    assert run_cell(tmp_path, source).shown() == [("execute_result", {"text/plain": "(-15, -15)"})]


def test_interrupt(tmp_path: Path) -> None:
    process = start(tmp_path, "import time\nprint('begun')\ntime.sleep(60)", "begun")
    process.send_signal(signal.SIGINT)
    result = finish(process, tmp_path)
    assert result.code == 1 and result.end["error"]["ename"] == "KeyboardInterrupt"


def test_crash_says_where_on_standard_error(tmp_path: Path) -> None:
    result = run_cell(tmp_path, "print('x', flush=True)\nimport ctypes\nctypes.string_at(0)")
    assert result.code == -signal.SIGSEGV
    assert "Segmentation fault" in result.said
    assert result.events[-1]["event"] == "output"


def test_threads_that_go_on_do_not_keep_the_slot(tmp_path: Path) -> None:
    prepare(tmp_path, "import threading\nthreading.Thread(target=threading.Event().wait).start()")
    begun = time.monotonic()
    process = subprocess.run(command(tmp_path), cwd=tmp_path, capture_output=True, timeout=60)
    assert process.returncode == 0 and time.monotonic() - begun < 30
    assert json.loads(process.stdout.splitlines()[-1])["status"] == "ok"


def test_files_that_the_cell_left_open_are_flushed(tmp_path: Path) -> None:
    assert run_cell(tmp_path, "f = open('left', 'w'); f.write('text');").code == 0
    assert (tmp_path / "left").read_text() == "text"


def test_nothing_is_written_to_the_users_profile(tmp_path: Path) -> None:
    home = tmp_path / "home"
    scratch = tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    variables = {"HOME": str(home), "IPYTHONDIR": str(home / "i"), "TMPDIR": str(scratch)}
    (tmp_path / "ipython_config.py").write_text("1/0")
    result = run_cell(tmp_path, "1", variables=variables)
    assert result.code == 0, result.said
    assert list(home.iterdir()) == [] and list(scratch.iterdir()) == []


def test_matplotlib_is_not_imported_for_nothing(tmp_path: Path) -> None:
    assert run_cell(tmp_path, "import sys\n'matplotlib' in sys.modules").shown() == [
        ("execute_result", {"text/plain": "False"})
    ]
