"""What comes back from a cell, and what the cell finds when it starts."""

from __future__ import annotations

import json
import os
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from test_payload_harness import EMPTY, command, prepare, run_cell

from ganga_kernel.payload import pickling


def notebook(source: str) -> dict[str, Any]:
    """A namespace in which a notebook's cells have run."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(source, namespace)
    return namespace


def test_bound_changed_and_new_names_come_back(tmp_path: Path) -> None:
    namespace = {"kept": [1], "same": 1, "mutated": [1], "rebound": 1, "deleted": 1}
    source = (
        "mutated.append(2)\nrebound = 'new'\ndel deleted\nexec('surprise = 5')\n"
        "if False: never = 1\n_private = 3\n4"
    )
    result = run_cell(tmp_path, source, namespace)
    assert result.names() == {
        "mutated": [1, 2], "rebound": "new", "surprise": 5, "_private": 3, "deleted": pickling.GONE, "_7": 4
    }  # fmt: skip


def test_shell_bookkeeping_stays_behind(tmp_path: Path) -> None:
    result = run_cell(tmp_path, "!true\nx: int = 1\nx")
    assert result.names() == {"x": 1, "_exit_code": 0, "_7": 1}


def test_aliases_stay_aliases(tmp_path: Path) -> None:
    shared = [1]
    source = "a.append(2)\nc = a\nsame = a is b[0]"
    names = run_cell(tmp_path, source, {"a": shared, "b": [shared]}).names()
    assert names["same"] is True
    assert names["a"] is names["b"][0] is names["c"] == [1, 2]


def test_functions_share_the_live_namespace_on_both_sides(tmp_path: Path) -> None:
    here = notebook("counter = 10\ndef count():\n    global counter\n    counter += 1\n")
    source = "count(); count()\ndef twice():\n    count(); count()\n"
    result = run_cell(tmp_path, source, here)
    names = result.names(here)
    # The cell has changed a global through a function, and did not send back what that refers to.
    assert set(names) == {"counter", "twice"} and names["counter"] == 12
    assert here["counter"] == 10
    here.update(names)
    here["twice"]()
    assert here["counter"] == 14


def test_inputs_do_not_travel_back(tmp_path: Path) -> None:
    here = notebook("big = list(range(100_000))\ndef use():\n    return big[0]\n")
    result = run_cell(tmp_path, "def f():\n    return use() + len(big)\n", here)
    assert set(result.names(here)) == {"f"}
    assert result.end["result"]["size"] < 2000


def test_values_that_cannot_be_pickled(tmp_path: Path) -> None:
    source = "g = (i for i in [1])\nimport threading\nlock = [threading.Lock()]\nx = 1"
    result = run_cell(tmp_path, source)
    names = result.names()
    assert result.end["status"] == "ok" and names["x"] == 1
    assert names["threading"].__name__ == "threading"
    with pytest.raises(pickling.UnavailableError, match=r"^g is unavailable.*generator"):
        next(names["g"])
    assert "'_thread.lock' object" in pickling.reason_of(names["lock"])


def test_input_that_could_not_travel_is_an_error_when_it_is_used(tmp_path: Path) -> None:
    here = notebook("import threading\nlock = threading.Lock()\n")
    assert run_cell(tmp_path, "x = 1", here).code == 0
    result = run_cell(tmp_path, "y = 1\nwith lock:\n    pass", here)
    error = result.end["error"]
    assert error["ename"] == "UnavailableError"
    assert error["evalue"].startswith("lock is unavailable here: a value of type lock")
    assert "payload" not in "".join(error["traceback"])
    assert "line 2" in "".join(error["traceback"])


def test_notebook_code_that_runs_while_it_is_unpickled(tmp_path: Path) -> None:
    here = notebook(
        "import json\nSCALE = 3\n"
        "def scaled(x):\n    return json.loads(str(x * SCALE))\n"
        "class Kept:\n"
        "    def __getstate__(self): return 5\n"
        "    def __setstate__(self, state): self.value = scaled(state)\n"
        "kept = [Kept()]\n"
        "del Kept\n"
    )
    with (tmp_path / "only.pkl").open("wb") as file:
        dumped = pickling.dump_namespace(here, ["kept"], file)
    assert set(dumped.sizes) == {"kept", "scaled", "json", "SCALE"}
    result = run_cell(tmp_path, "kept[0].value", namespace=str(tmp_path / "only.pkl"))
    assert result.shown() == [("execute_result", {"text/plain": "15"})], result.end


def test_classes_of_the_notebook_keep_their_identity(tmp_path: Path) -> None:
    here = notebook("class Point:\n    def __init__(self, x): self.x = x\np = Point(1)\n")
    source = "q = Point(p.x + 1)\nok = isinstance(p, Point)"
    names = run_cell(tmp_path, source, here).names(here)
    assert names["ok"] and type(names["q"]) is here["Point"] and names["q"].x == 2


def test_errors_in_notebook_functions_show_their_source(tmp_path: Path) -> None:
    import linecache

    source = "def broken():\n    here_it_is = 0\n    return 1 / here_it_is\n"
    name = "<a cell of the notebook>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    here: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), here)
    result = run_cell(tmp_path, "import inspect\nprint(inspect.getsource(broken))\nbroken()", here)
    assert "here_it_is" in result.text()
    assert "here_it_is" in "".join(result.end["error"]["traceback"])
    linecache.cache.pop(name)


def test_source_of_a_function_defined_in_a_batch_cell(tmp_path: Path) -> None:
    import inspect

    names = run_cell(tmp_path, "def f():\n    return 'remote'").names()
    assert "return 'remote'" in inspect.getsource(names["f"])


def test_submodules_that_the_notebook_had_imported(tmp_path: Path) -> None:
    import xml.etree.ElementTree  # noqa: F401

    here = {**EMPTY, "xml": sys.modules["xml"]}
    result = run_cell(tmp_path, "xml.etree.ElementTree.Element('a').tag", here)
    assert result.shown() == [("execute_result", {"text/plain": "'a'"})]


def test_failed_cell_leaves_an_empty_result(tmp_path: Path) -> None:
    (tmp_path / "0.result").write_text("of an earlier attempt")
    result = run_cell(tmp_path, "x = 1\nraise ValueError")
    assert result.end["result"] is None and (tmp_path / "0.result").read_bytes() == b""


def test_result_elsewhere(tmp_path: Path) -> None:
    import subprocess

    prepare(tmp_path, "import os; os.chdir('/')\nx = 1")
    more = ["--result", "out.bin", "--task", "3"]
    done = subprocess.run([*command(tmp_path), *more], cwd=tmp_path, capture_output=True)
    end = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0 and end["result"]["file"] == "out.bin"
    assert (tmp_path / "out.bin").stat().st_size == end["result"]["size"]


def test_result_that_cannot_be_written(tmp_path: Path) -> None:
    result = run_cell(
        tmp_path,
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nx = b'x' * 1_000_000",
        events=True,
    )
    assert result.code == 3 and result.end["status"] == "broken"
    assert "can't be written: File too large" in result.end["error"]["evalue"]
    assert list(tmp_path.glob("0.result.*")) == [], "the temporary file is left"


def test_a_thousand_and_one_values(tmp_path: Path) -> None:
    here: dict[str, Any] = {f"v{i}": [i] for i in range(1000)}
    here["m"] = types.ModuleType  # a class of the standard library, by reference
    result = run_cell(tmp_path, "total = sum(v[0] for n, v in list(globals().items()) "
                      "if n[0] == 'v' and n[1:].isdigit())", here)  # fmt: skip
    assert result.names()["total"] == sum(range(1000))


def test_environment_of_the_notebook(tmp_path: Path) -> None:
    (tmp_path / "extra").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "mymodule.py").write_text("where = 'notebook folder'")
    (tmp_path / "extra" / "other.py").write_text("where = 'extra'")
    # A user's module may have any name that ours have.
    for name in ("payload", "job", "events", "run", "vendor"):
        (tmp_path / f"{name}.py").write_text(f"where = 'my {name}'")
    environ = {
        "MINE": "1", "HOME": str(tmp_path / "home"), "TMPDIR": "/nowhere", "PATH": "/usr/bin:/bin",
        "_CONDOR_SLOT": "notebook's", "X509_USER_PROXY": "notebook's", "KRB5CCNAME": "notebook's",
    }  # fmt: skip
    source = (
        "import os, sys, mymodule, other, payload, job, events, run, vendor\n"
        "[m.where for m in (mymodule, other, payload, job, events, run, vendor)], os.getcwd(),"
        "{k: os.environ.get(k) for k in ('MINE', 'HOME', 'TMPDIR', 'PATH', '_CONDOR_SLOT',"
        " 'X509_USER_PROXY', 'KRB5CCNAME', '_CONDOR_SCRATCH_DIR', 'LATER')},"
        "sys.argv[1:], [p for p in sys.path if 'pyz' in p]"
    )
    result = run_cell(
        tmp_path,
        source,
        environ=environ,
        sys_path=["/nowhere/at/all", str(tmp_path / "extra"), "", *sys.path],
        variables={
            "TMPDIR": str(tmp_path),
            "_CONDOR_SCRATCH_DIR": "/scratch",
            "KRB5CCNAME": "worker's",
            "LATER": "worker's",
        },
    )
    shown = result.shown()[-1][1]["text/plain"]
    where, folder, variables, argv, archives = eval(shown)
    assert where == [
        "notebook folder", "extra", "my payload", "my job", "my events", "my run", "my vendor"
    ]  # fmt: skip
    assert folder == str(tmp_path) and argv == [] and archives == []
    assert variables == {
        "MINE": "1", "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path),
        "PATH": "/usr/bin:/bin", "_CONDOR_SLOT": None, "X509_USER_PROXY": "notebook's",
        "KRB5CCNAME": "worker's", "_CONDOR_SCRATCH_DIR": "/scratch", "LATER": "worker's",
    }  # fmt: skip


def test_variables_that_count_only_at_the_start(tmp_path: Path) -> None:
    result = run_cell(
        tmp_path,
        "import os, sys\nhash('x'), os.environ.get('LD_LIBRARY_PATH'), "
        "[k for k in os.environ if 'GANGA_KERNEL' in k], os.getpid()",
        environ={"PYTHONHASHSEED": "5", "LD_LIBRARY_PATH": "/nowhere/lib"},
    )
    value, path, left, pid = eval(result.shown()[-1][1]["text/plain"])
    env = {**os.environ, "PYTHONHASHSEED": "5"}
    import subprocess

    same = subprocess.check_output([sys.executable, "-c", "print(hash('x'))"], env=env)
    assert (value, path, left) == (int(same), "/nowhere/lib", [])
    assert pid == result.events[0]["pid"]
    assert [e["event"] for e in result.events] == ["start", "output", "end"]


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    result = run_cell(tmp_path, "import os; os.getcwd()", directory="/nowhere/notebooks")
    start = result.events[0]
    assert start["directory"] == str(tmp_path)
    assert start["notes"] == [
        "The notebook's folder /nowhere/notebooks can't be used here (No such file or directory), "
        f"so the cell runs in {tmp_path}."
    ]


def test_cloudpickle_that_is_too_old_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "cloudpickle").mkdir()
    (tmp_path / "cloudpickle" / "__init__.py").write_text("__version__ = '2.2.1'")
    here = notebook("def f(): return 5\n")
    result = run_cell(tmp_path, "x = f()", here)
    assert result.names() == {"x": 5}
    assert "too old" in result.events[0]["notes"][0]


def test_files_beside_the_description_come_first(tmp_path: Path) -> None:
    result = run_cell(
        tmp_path, "x", {"x": 1}, key="/submit/machine/key"
    )  # fmt: skip
    assert result.shown() == [("execute_result", {"text/plain": "1"})]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"python_version": [2, 7, 18]},
            r"runs Python 2\.7, and .* is Python 3\.\d+.*Choose an.*--python, --setup or --container",
        ),
        ({"namespace": "/nowhere/x.pkl"}, r"variables, /nowhere/x\.pkl, can't be read: No such"),
        ({"key": "/nowhere/secret"}, r"key /nowhere/secret can't be used"),
        ({"source": None, "execution_count": None}, r"job description .* is damaged"),
    ],
)
def test_broken(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    import re

    result = run_cell(tmp_path, "1", **change)
    assert result.code == 3 and result.end["status"] == "broken" and result.end["result"] is None
    assert re.search(says, result.end["error"]["evalue"]), result.end
    assert result.end["error"]["traceback"] == [result.end["error"]["evalue"]]
    assert re.search(says, result.said)


def test_broken_files(tmp_path: Path) -> None:
    import subprocess

    prepare(tmp_path, "1")
    (tmp_path / "namespace.pkl").write_bytes(b"nonsense")
    done = subprocess.run(command(tmp_path), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3 and "can't be loaded on the worker" in done.stderr
    assert (tmp_path / "0.result").read_bytes() == b""
    (tmp_path / "job.json").unlink()
    done = subprocess.run(command(tmp_path), cwd=tmp_path, capture_output=True, text=True)
    end = json.loads(done.stdout)
    assert (done.returncode, end["status"]) == (3, "broken")
    assert "can't be read: No such file" in end["error"]["evalue"]


def test_module_that_the_worker_lacks_is_named(tmp_path: Path) -> None:
    only_here = types.ModuleType("only_here")
    only_here.__file__ = "only_here.py"
    sys.modules["only_here"] = only_here
    cell = "print(also)\ndata.x"
    result = run_cell(tmp_path, cell, {"data": only_here, "also": [1, {"kept": (2,)}]})
    del sys.modules["only_here"]
    assert result.code == 1 and result.text() == "[1, {'kept': (2,)}]\n"
    said = result.end["error"]["evalue"]
    assert said.startswith(
        "data is unavailable here: it can't be made anew here: ModuleNotFoundError: No module"
    )
    assert f"see that {sys.executable} has the packages of the notebook's environment" in said


def after(folder: Path, *cells: str) -> dict[str, Any]:
    """What the last of several cells leaves, each run by a job that takes all names from those before it."""
    results: list[dict[str, Any]] = []
    for number, source in enumerate(cells):
        here = folder / str(number)
        here.mkdir()
        for before in range(number):
            shutil.copy(folder / str(before) / "0.result", here / f"before-{before}.result")
        left = run_cell(here, source, inputs=results)
        assert left.code == 0, left.said
        names = left.names()
        same = dict.fromkeys(name for one in results for name in one["names"])
        results.append({"file": f"before-{number}.result", "names": sorted(names), "same": same})
    return names


@pytest.mark.parametrize(
    ("cells", "name", "value"),
    [
        (("a = [1]\nb = {'a': a}", "c = b['a']", "same = c is a is b['a']"), "same", True),
        (("a = [1]\nb = [a]", "b[0].append(2)", "c = a, b, a is b[0]"), "c", ([1, 2], [[1, 2]], True)),
        (("a = [1]\nb = (a,)", "a.append(2)", "c = b, b[0] is a"), "c", (([1, 2],), True)),
        (("def f():\n    n = []\n    return lambda: n\ng = f()", "g().append(1)", "c = g()"), "c", [1]),
        (("import numpy as np\na = np.zeros((2, 2), order='F')\nb = a[1:]", "c = a[0]\nb += 1",
          "c -= 1\nd = a.tolist()"), "d", [[-1.0, -1.0], [1.0, 1.0]]),
        (("a = [1]; b = [1]; c = [a]", "c[0] = b", "d = c[0] is b"), "d", True),
        (("a = 1\nb = [2]", "a = a; b = b", "c = a, b"), "c", (1, [2])),
        (("import random\nr = random.Random(1)\nq = [r]", "r.random()", "c = q[0] is r"), "c", True),
    ],
)  # fmt: skip
def test_one_object_over_several_jobs(tmp_path: Path, cells: tuple[str, ...], name: str, value: Any) -> None:
    assert after(tmp_path, *cells)[name] == value


def test_of_a_changed_object_its_content_travels_once(tmp_path: Path) -> None:
    here = notebook("import numpy as np\nbig = np.zeros(1_000_000)\nholder = {'big': big}")
    result = run_cell(tmp_path, "big[0] = 1", here)
    assert set(result.names(here)) == {"big", "holder"}
    assert 8_000_000 < result.end["result"]["size"] < 8_100_000


def test_a_view_of_a_strided_array_comes_back_as_a_copy(tmp_path: Path) -> None:
    here = notebook("import numpy as np\ncolumn = np.arange(6).reshape(2, 3)[:, 1]")
    names = run_cell(tmp_path, "x = column[1:]", here).names(here)
    assert names["x"].tolist() == [4]
