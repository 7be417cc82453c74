"""The payload without IPython, with a bare standard library, under every Python that is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_payload_harness import Result, run_cell

BARE = (sys.executable, "-S", "-I")


def find_interpreters() -> dict[str, str]:
    """Other Pythons from 3.8 on that work: on the path, or pyenv's. By version."""
    candidates = [shutil.which(f"python3.{minor}") for minor in range(8, 20)]
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += [str(path) for path in sorted(root.glob("versions/3.*/bin/python"))]
    found = {}
    for candidate in filter(None, candidates):
        done = subprocess.run(
            [candidate, "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True,
            text=True,
        )
        if done.returncode == 0:
            version = tuple(map(int, done.stdout.split()))
            if version >= (3, 8):
                found[".".join(map(str, version))] = candidate
    return found


INTERPRETERS = find_interpreters()
ALL = [pytest.param(BARE, sys.version_info[:2], id="bare")] + [
    pytest.param((path, "-S", "-I"), tuple(map(int, version.split("."))), id=version)
    for version, path in INTERPRETERS.items()
]


EVERY = pytest.mark.parametrize(("interpreter", "version"), ALL)


def plain(
    folder: Path,
    source: str,
    interpreter: tuple[str, ...] = BARE,
    version: tuple[int, ...] = sys.version_info[:2],
    namespace: dict[str, Any] | None = None,
    **more: Any,
) -> Result:
    return run_cell(
        folder,
        source,
        namespace,
        interpreter=interpreter,
        python=interpreter[0],
        python_version=[*version, 0],
        **more,
    )


@EVERY
def test_everything_once(tmp_path: Path, interpreter: tuple[str, ...], version: tuple[int, ...]) -> None:
    """The thin path with all that a worker with an old Python has to do."""
    source = (
        "import os, sys, subprocess, functools\n"
        "print('hello')\n"
        "subprocess.call(['echo', 'child'])\n"
        "display(x)\n"
        "f = lambda n: n + x[0]\n"
        "def g(): return f(1)\n"
        "class C:\n"
        "    def m(self): return g()\n"
        "c = C()\n"
        "y = x + [c.m()]\n"
        "gen = (i for i in y)\n"
        "print('end', file=sys.stderr)\n"
        "y"
    )
    result = plain(tmp_path, source, interpreter, version, {"x": [1, 2]})
    assert result.code == 0, (result.said, result.end)
    assert result.events[0]["python"].startswith("{}.{}".format(*version))
    assert [note.split("(")[0] for note in result.events[0]["notes"]] == [
        "cloudpickle isn't installed here, so the job's own copy is used.",
        "IPython can't be used here ",
    ]
    assert result.shown() == [
        ("stdout", "hello\nchild\n"),
        ("display_data", {"text/plain": "[1, 2]"}),
        ("stderr", "end\n"),
        ("execute_result", {"text/plain": "[1, 2, 2]"}),
    ]
    check = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[1] + '/vendor']\n"
        "from _ganga_kernel.payload import unpickling\n"
        "ns = {'__name__': '__main__', 'x': [10]}\n"
        "names = unpickling.load_namespace(open(sys.argv[2], 'rb'), ns)\n"
        "assert ns['c'].m() == 11 and ns['y'] == [1, 2, 2], ns\n"
        "assert 'generator' in repr(ns['gen'])\n"
        "print(*sorted(names))"
    )
    archive = next(tmp_path.glob("*.pyz"))
    done = subprocess.run(
        [*interpreter, "-c", check, str(archive), str(tmp_path / "0.result")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted("C _7 c f functools g gen os subprocess sys y".split())


@EVERY
def test_errors(tmp_path: Path, interpreter: tuple[str, ...], version: tuple[int, ...]) -> None:
    source = "def f():\n    return 1 / 0\n\nf()"
    result = plain(tmp_path, source, interpreter, version)
    assert result.code == 1
    error = result.end["error"]
    assert (error["ename"], error["evalue"]) == ("ZeroDivisionError", "division by zero")
    text = "\n".join(line for line in error["traceback"] if not set(line.strip()) <= set("~^"))
    assert text == (
        "Traceback (most recent call last):\n"
        '  File "Cell In[7]", line 4, in <module>\n    f()\n'
        '  File "Cell In[7]", line 2, in f\n    return 1 / 0\n'
        "ZeroDivisionError: division by zero"
    )
    assert result.outputs[-1] == {"type": "error", "content": error}


def test_syntax_error(tmp_path: Path) -> None:
    error = plain(tmp_path, "x = 1\ny = = 2").end["error"]
    assert error["ename"] == "SyntaxError"
    assert error["traceback"][:2] == ['  File "Cell In[7]", line 2', "    y = = 2"]


@pytest.mark.parametrize(
    ("source", "ename"),
    [
        ("import sys; sys.exit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("x = input('?')", "StdinNotImplementedError"),
        ("import asyncio\nawait asyncio.sleep(0)\n1/0", "ZeroDivisionError"),
        ("class A:\n    def __repr__(self): 1/0\nA()", "ZeroDivisionError"),
    ],
)
def test_errors_of_other_kinds(tmp_path: Path, source: str, ename: str) -> None:
    result = plain(tmp_path, source)
    assert (result.code, result.end["error"]["ename"]) == (1, ename)
    assert "payload" not in "".join(result.end["error"]["traceback"])


def test_await(tmp_path: Path) -> None:
    source = "import asyncio\nawait asyncio.sleep(0)\nawait asyncio.sleep(0, 'done')"
    result = plain(tmp_path, source)
    assert result.shown() == [("execute_result", {"text/plain": "'done'"})]


def test_rich_display(tmp_path: Path) -> None:
    source = (
        "class Rich:\n"
        "    def __repr__(self): return 'rich'\n"
        "    def _repr_html_(self): return '<b>rich</b>'\n"
        "    def _repr_png_(self): return b'png', {'width': 3}\n"
        "    def _repr_latex_(self): return None\n"
        "class Bundle:\n"
        "    def __repr__(self): return 'bundle'\n"
        "    def _repr_mimebundle_(self, include=None, exclude=None):\n"
        "        return {'application/json': {'a': 1}}, {'k': 2}\n"
        "display(Rich(), Bundle, metadata={'m': 1}, display_id='d')\n"
        "display({'text/plain': 'raw'}, raw=True, display_id='d', update=True)\n"
        "Bundle()"
    )
    first, second, third, last = plain(tmp_path, source).outputs
    assert first == {
        "type": "display_data",
        "content": {
            "data": {"text/plain": "rich", "text/html": "<b>rich</b>", "image/png": "cG5n"},
            "metadata": {"image/png": {"width": 3}, "m": 1},
            "transient": {"display_id": "d"},
        },
    }
    assert second["content"]["data"] == {"text/plain": "<class '__main__.Bundle'>"}
    assert third["type"] == "update_display_data"
    assert third["content"]["data"] == {"text/plain": "raw"}
    assert last["content"] == {
        "data": {"text/plain": "bundle", "application/json": {"a": 1}},
        "metadata": {"k": 2},
        "execution_count": 7,
    }


def test_semicolon(tmp_path: Path) -> None:
    assert plain(tmp_path, "5;").outputs == []
    assert plain(tmp_path, "5; # a comment").outputs == []
    assert plain(tmp_path, "'a;'").shown() == [("execute_result", {"text/plain": "'a;'"})]


def test_figures(tmp_path: Path) -> None:
    """matplotlib without IPython: the environment's packages, less IPython."""
    (tmp_path / "IPython.py").write_text("raise ImportError('hidden')")
    source = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nfig = plt.figure()\n3"
    result = run_cell(tmp_path, source, sys_path=["", *sys.path])
    assert "hidden" in result.events[0]["notes"][0]
    assert result.text("stderr") == ""
    kinds = [(o["type"], sorted(o["content"]["data"])) for o in result.outputs]
    assert kinds == [
        ("execute_result", ["text/plain"]),
        ("display_data", ["image/png", "text/plain"]),
        ("display_data", ["image/png", "text/plain"]),
    ]


def test_another_minor_version_is_refused(tmp_path: Path) -> None:
    result = plain(tmp_path, "1", BARE, (3, 7))
    assert result.code == 3 and "Choose an interpreter of version 3.7" in result.said


def too_old() -> list[Any]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [root.glob("versions/2.7*/bin/python"), root.glob("versions/3.[67]*/bin/python")]
    paths = [str(path) for paths in found for path in sorted(paths)]
    skip = pytest.mark.skip(reason="no Python older than 3.8 was found")
    return [pytest.param(path, id=Path(path).parts[-3]) for path in paths] or [pytest.param("", marks=skip)]


@pytest.mark.parametrize("path", too_old())
@pytest.mark.parametrize("events", [False, True])
def test_python_that_is_too_old_says_so(tmp_path: Path, path: str, events: bool) -> None:
    result = run_cell(tmp_path, "1", interpreter=(path,), events=events)
    assert result.code == 3 and result.end["status"] == "broken", result.said
    assert "needs 3.8 or newer" in result.end["error"]["evalue"]
