"""Modules of the user's own: what travels, and what a job imports."""

from __future__ import annotations

import importlib
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_payload_harness import Result, run_cell
from test_payload_plain import EVERY

from ganga_kernel.bridge import modulestate, usermodules

Job = Callable[..., Result]

FILES = {
    "own_a.py": "import json\nfrom own_b import UNIT\n"
    "class A:\n    def __init__(self, x): self.x = x\n    def twice(self): return 2 * self.x\n"
    "def f(): return UNIT\n"
    "def bad():\n    raise ValueError('own')\n"
    "count = 0\n"
    "def counter():\n    def up():\n        global count\n        count += 1\n        return count\n"
    "    return up\n",
    "own_b.py": "UNIT = 1\n",
    "own_unused.py": "1 / 0\n",
    "own_p/__init__.py": "from .part import part\n",
    "own_p/part.py": "def part():\n    from pathlib import Path\n    from .deep import deeper\n"
    "    return Path(__file__).with_name('table.txt').read_text() + deeper.word\n",
    "own_p/deep/deeper.py": "word = 'deep'\n",
    "own_p/table.txt": "data ",
    "own_p/.hidden": "",
    "own_n/leaf.py": "import own_b\nx = own_b.UNIT\n",
    "own_n/rubbish.bin": "",
    "own_n/pack/__init__.py": "",
    "own_n/pack/table.txt": "",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Modules beside a notebook."""
    folder = tmp_path / "notebook"
    for place, text in FILES.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(usermodules, "_sent", set())
    yield folder
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def ship(project: Path, *names: str, has_inputs: bool = False) -> usermodules.Shipment:
    return usermodules.ship(names, str(project.parent), has_inputs)


def places(shipment: usermodules.Shipment) -> set[str]:
    assert shipment.path
    with zipfile.ZipFile(shipment.path) as archive:
        return {name[5:] for name in archive.namelist() if name.startswith("tree/")}


@pytest.fixture
def job(project: Path, tmp_path: Path) -> Job:
    """Runs a cell as a job that a shipment travels to; the worker sees the modules' folder or doesn't."""

    def run(
        shipment: usermodules.Shipment,
        source: str,
        namespace: dict[str, Any] | None = None,
        sees: bool = False,
        **more: Any,
    ) -> Result:
        folder, away = tmp_path / "job", tmp_path / "away"
        folder.mkdir()
        if not sees:
            project.rename(away)
        try:
            more = {"sys_path": sys.path, "modules": shipment.path, **more}
            return run_cell(folder, source, namespace, **more)
        finally:
            if not sees:
                away.rename(project)

    return run


def run_ok(result: Result) -> Any:
    assert result.code == 0, result.end["error"] or result.said
    return result.names()


@pytest.mark.parametrize(
    ("name", "travels"),
    [
        ("own_a", {"own_a.py", "own_b.py"}),
        ("own_a.f", {"own_a.py", "own_b.py"}),
        ("own_p.part", {"own_p/__init__.py", "own_p/part.py", "own_p/deep/deeper.py", "own_p/table.txt"}),
        ("own_n.leaf", {"own_n/leaf.py", "own_n/pack/__init__.py", "own_n/pack/table.txt", "own_b.py"}),
    ],
)
def test_what_a_module_needs_travels_with_it(project: Path, name: str, travels: set[str]) -> None:
    assert places(ship(project, name)) == travels


def test_what_is_installed_stays(project: Path) -> None:
    assert ship(project, "json", "numpy", "IPython.display", "__main__", "sys", "nowhere").path is None


def test_the_same_files_are_one_archive(project: Path) -> None:
    first = ship(project, "own_a")
    importlib.import_module("own_a")
    assert ship(project, "own_a.f", "own_b") == first
    (project / "own_b.py").write_text("UNIT = 2\n")
    assert ship(project, "own_a") != first


def test_results_of_other_jobs_may_need_their_modules(project: Path) -> None:
    ship(project, "own_a")
    assert places(ship(project, "own_p", has_inputs=True)) >= {"own_a.py", "own_b.py", "own_p/part.py"}
    assert "own_a.py" not in places(ship(project, "own_p"))


def test_a_module_that_the_worker_cannot_see(job: Job, project: Path) -> None:
    left = run_ok(
        job(
            ship(project, "own_a", "own_p", "own_n.leaf"),
            "import own_a, own_p, own_n.leaf as leaf, inspect\n"
            "found = own_a.f(), own_p.part(), leaf.x, own_a.A.__module__\n"
            "lines = inspect.getsource(own_a.f)\n"
            "import multiprocessing\n"
            "with multiprocessing.get_context('spawn').Pool(1) as pool:\n    far = pool.apply(own_a.f)\n",
        )
    )
    assert left["found"] == (1, "data deep", 1, "own_a")
    assert left["lines"] == "def f(): return UNIT\n" and left["far"] == 1


@EVERY
def test_on_every_python(
    job: Job, project: Path, interpreter: tuple[str, ...], version: tuple[int, int]
) -> None:
    source = "import own_a, own_p, own_n.leaf\nprint(own_a.f(), own_p.part(), own_n.leaf.x)"
    shipped = ship(project, "own_a", "own_p", "own_n.leaf")
    result = job(shipped, source, sys_path=[], interpreter=interpreter, python_version=version)
    assert result.text() == "1 data deep 1\n", result.end["error"] or result.said


def test_instances_and_functions_of_one_s_own_go_and_come_back(job: Job, project: Path) -> None:
    own = importlib.import_module("own_a")
    here = {"__name__": "__main__", "a": own.A(3), "up": own.counter()}
    result = job(
        ship(project, "own_a"),
        "import own_a\nok = isinstance(a, own_a.A) and a.twice() == 6\nb = own_a.A(5)\n"
        "counts = up(), own_a.count, own_a.counter()()\ndown = own_a.counter()\n",
        here,
    )
    left = run_ok(result)
    assert left["ok"] and type(left["b"]) is own.A and left["b"].twice() == 10
    assert left["counts"] == (1, 1, 2)
    assert left["down"]() == 1 and own.count == 1  # it lives in the module that is here


def test_a_job_runs_what_it_was_submitted_with(job: Job, project: Path) -> None:
    shipped = ship(project, "own_a", "own_p")
    (project / "own_b.py").write_text("UNIT = 'edited'\n")
    (project / "own_a.py").write_text("# edited\n" * 20)
    (project / "own_p" / "table.txt").write_text("new data ")
    left = run_ok(
        job(
            shipped,
            "import own_a, own_p, own_b\nfound = own_a.f(), own_a.__file__, own_b.__file__\n"
            "text = own_p.part()\n",
            sees=True,
        )
    )
    assert left["found"] == (1, str(project / "own_a.py"), str(project / "own_b.py"))
    assert left["text"] == "new data deep"  # what lies beside a module is as for any file


def test_tracebacks_name_the_user_s_file_with_the_lines_that_travelled(job: Job, project: Path) -> None:
    shipped = ship(project, "own_a")
    (project / "own_a.py").write_text("# edited\n" * 20)
    for sees in (False, True):
        result = job(shipped, "import own_a\nown_a.bad()", sees=sees)
        text = re.sub("\x1b\\[[0-9;]*m", "", "".join(result.end["error"]["traceback"]))
        assert (
            f"{project / 'own_a.py'}:8" in text and "raise ValueError('own')" in text and "edited" not in text
        )
        result.folder.rename(result.folder.with_name(f"job {sees}"))


def test_a_package_that_is_too_large_is_named_where_it_is_imported(
    job: Job, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usermodules, "_MOST_BYTES", 1_000)
    (project / "own_p" / "table.txt").write_text("x" * 2_000_000)
    shipped = ship(project, "own_p", "own_b")
    assert shipped.refused.keys() == {"own_p"} and "2 MB" in shipped.refused["own_p"]
    assert "own_p/part.py" not in places(shipped)
    result = job(shipped, "import own_b\nfrom own_p import part")
    assert result.end["error"]["ename"] == "ModuleNotFoundError"
    assert result.end["error"]["evalue"].startswith(
        "own_p did not travel to the job: its files are 2 MB, and "
    )


def test_a_package_of_too_many_files_is_not_walked_to_its_end(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usermodules, "_MOST_FILES", 3)
    (project / "own_p" / "again").symlink_to(project / "own_p")  # without end
    assert "more than 3 files" in ship(project, "own_p").refused["own_p"]


def test_extension_modules_travel_where_they_fit(job: Job, project: Path) -> None:
    built = Path(importlib.import_module("_queue").__file__ or "")  # a file of its own in all usual Pythons
    (project / "own_p" / built.name).write_bytes(built.read_bytes())
    (project / "own_p" / "old.cpython-27-vax.so").write_bytes(b"")
    result = job(
        ship(project, "own_p"),
        "from own_p._queue import SimpleQueue\nq = SimpleQueue()\nq.put(5)\nprint(q.get())\nimport own_p.old",
    )
    assert result.text() == "5\n"
    assert (
        "own_p.old can't be imported here: old.cpython-27-vax.so was built" in result.end["error"]["evalue"]
    )


def test_an_archive_that_is_damaged(tmp_path: Path, job: Job) -> None:
    (tmp_path / "bad.zip").write_bytes(b"bad")
    result = job(usermodules.Shipment(str(tmp_path / "bad.zip"), {}), "1")
    assert result.code == 3 and "The notebook's own modules" in result.end["error"]["evalue"]


STATEFUL = (
    "import socket\n"
    "debug = False\n"
    "cuts = {'pt': 20}\n"
    "alias = cuts\n"
    "twice = 1\n"
    "twice = 2\n"
    "host = socket.gethostname()\n"
    "registry = []\n"
    "_ready, _total = False, 0\n"
    "_open = False\n"
    "_total = 0\n"
    "def add(n):\n    global _total\n    _total += n\n"
    "def connect():\n    global _open, _link\n    _open, _link = True, object()\n"
    "def hook(): return debug\n"
    "registry.append(hook)\n"
)


@pytest.mark.parametrize(
    ("cell", "state"),
    [
        ("", {}),
        ("m.debug = True", {"debug": True}),
        ("m.debug = 0", {"debug": 0}),
        ("m.debug = object()", {}),
        ("m.cuts['pt'] = 30", {"cuts": {"pt": 30}}),
        ("m.cuts['self'] = m.cuts", {}),
        ("m.new = [1, {2: {3}}]", {"new": [1, {2: {3}}]}),
        ("m.twice = 5; m.host = 'here'; m.hook = print; m.registry.append(1)", {}),
        ("m.debug = 'x' * 2_000_000", {}),
        ("m.connect(); m.debug = True", {"debug": True}),
    ],
)
def test_what_was_set_in_a_module(project: Path, cell: str, state: dict[str, Any]) -> None:
    (project / "own_s.py").write_text(STATEFUL)
    exec("import own_s as m\n" + cell)
    assert modulestate.changed("own_s") == state and not modulestate.edited("own_s")
    ship(project, "own_s")


def test_what_was_set_in_a_module_goes_along(job: Job, project: Path) -> None:
    (project / "own_s.py").write_text(STATEFUL)
    own = importlib.import_module("own_s")
    own.debug, own.cuts["pt"], own.new = True, 30, (1,)
    shipped = ship(project, "own_s")
    assert shipped.state == {"own_s": {"debug": True, "cuts": {"pt": 30}, "new": (1,)}}
    source = (
        "import own_s, importlib\nfound = own_s.hook(), own_s.cuts, own_s.alias is own_s.cuts, own_s.new\n"
        "importlib.reload(own_s)\nagain = own_s.hook()\n"
    )
    left = run_ok(job(shipped, source, sees=True))
    assert left["found"] == (True, {"pt": 30}, True, (1,)) and left["again"] is False


@pytest.mark.parametrize(
    ("old", "new", "edited"),
    [
        ("debug\n", "not debug\n", True),
        ("_total += n", "_total += n + 1", True),
        ("import socket", "# a comment\n\nimport socket", False),
        ("cuts = {'pt': 20}", "cuts = {'pt': 25}", False),
    ],
)
def test_a_module_edited_since_its_import(project: Path, old: str, new: str, edited: bool) -> None:
    (project / "own_s.py").write_text(STATEFUL)
    importlib.import_module("own_s")
    (project / "own_s.py").write_text(STATEFUL.replace(old, new))
    shipped = ship(project, "own_s")
    assert (list(shipped.edited) == ["own_s"]) == edited
    assert bool(shipped.state) == ("cuts" in new)  # what the notebook runs with counts


def test_a_job_that_is_ended_leaves_no_files(
    project: Path, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    source = "import own_a, os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)"
    result = job(ship(project, "own_a"), source)
    assert result.end["status"] == "terminated"
    assert list(scratch.iterdir()) == []
