"""Inner kernels of other environments, with another ipykernel, another Python, and nothing of ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganga_kernel import install
from ganga_kernel.errors import KernelStartError
from tests.harness import Kernel, Site

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ganga-kernel-tests" / "inner"


def environment(python: str, *packages: str) -> Path:
    """A virtual environment with these packages only; made once, as pip takes its time."""
    folder = CACHE / "-".join([Path(python).name, *packages]).replace("=", "")
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", "--quiet", *packages], check=True)
        (folder / "ready").touch()
    return folder / "bin" / "python"


def other_python() -> str:
    """The oldest Python of 3.9 or newer that is at hand; this one, if there is no other."""
    folders = [*os.get_exec_path(), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]
    for minor in (9, 10, 12, 13):
        for folder in folders:
            path = shutil.which(f"python3.{minor}", path=folder)
            if path and _makes_environments(path):
                return path
    return sys.executable


def _makes_environments(python: str) -> bool:
    tried = subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True, check=False)
    return tried.returncode == 0


@pytest.fixture(params=["ipykernel==6.29.5", "ipykernel==7.1.0"])
def kernel(request: pytest.FixtureRequest, site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    python = environment(sys.executable, request.param)
    yield from wrapped(site, python, monkeypatch)


def wrapped(site: Site, python: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    """A kernel whose inner kernel is another environment's."""
    spec = site.root / "prefix" / "share" / "jupyter" / "kernels" / "other"
    spec.mkdir(parents=True, exist_ok=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "Other", "language": "python", "env": {"FROM_SPEC": "yes"}})
    )
    monkeypatch.setenv("JUPYTER_PATH", site.environment["JUPYTER_PATH"])
    installed = install.install(site.root / "prefix", inner="other")
    assert json.loads((installed / "kernel.json").read_text())["display_name"] == "Ganga (Other)"
    running = Kernel(site, name="ganga_other")
    yield running
    running.close()


def check(kernel: Kernel) -> None:
    """Ordinary and batch cells run in the other environment, and give each other their names."""
    kernel.run("import sys, os\ndef f(x):\n    return x + len(sys.version_info)\nbase = 1")
    where = kernel.run("sys.executable, os.environ['FROM_SPEC']").value
    cell = kernel.batch("import sys\nthere, got = sys.executable, f(base)\ngot")
    assert cell.value == "6"
    assert kernel.run("(there, os.environ['FROM_SPEC'])").value == where
    assert kernel.run("'cloudpickle' in sys.modules, got").value == "(True, 6)"
    slow = kernel.run("%%batch\nimport time; time.sleep(0.5); slow = 1")
    assert kernel.run("slow").value == "1"
    failing = kernel.run("%%batch\n1/0")
    kernel.until_panel(failing, "failed")
    assert slow.states == ["busy", "idle"] and failing.error.startswith("ZeroDivisionError")


def test_an_ipykernel_of_another_version_without_cloudpickle(kernel: Kernel) -> None:
    check(kernel)


def test_another_python(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for kernel in wrapped(site, environment(other_python(), "ipykernel"), monkeypatch):
        check(kernel)


def test_what_is_no_ipykernel_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = site.root / "prefix" / "share" / "jupyter" / "kernels" / "bash"
    spec.mkdir()
    (spec / "kernel.json").write_text(json.dumps({"argv": ["bash"], "display_name": "B", "language": "sh"}))
    monkeypatch.setenv("JUPYTER_PATH", site.environment["JUPYTER_PATH"])
    for name, words in (("bash", "isn't ipykernel's"), ("nothing", "no kernelspec")):
        with pytest.raises(KernelStartError, match=words):
            install.install(site.root / "prefix", inner=name)
