"""Environments with ipykernel and nothing of ours, for inner kernels.

Each is made once, as pip takes its time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

from ganga_kernel import install
from tests.harness import Kernel, Site

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ganga-kernel-tests" / "inner"


@cache
def pythons() -> dict[str, str]:
    """The Pythons at hand that can make environments, by version: ``{"3.9": "/usr/bin/python3.9"}``."""
    folders = [*os.get_exec_path(), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]
    found = {}
    for minor in range(9, 14):
        for folder in folders:
            path = shutil.which(f"python3.{minor}", path=folder)
            if path and _makes_environments(path):
                found[f"3.{minor}"] = path
                break
    return found


def _makes_environments(python: str) -> bool:
    """Whether it is one, and no shim for a Python that isn't there."""
    tried = subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True, check=False)
    return tried.returncode == 0


def oldest_python() -> str:
    """The oldest Python at hand that an inner kernel may have; this one, if there is no other."""
    return next(iter(pythons().values()), sys.executable)


def environment(python: str, *packages: str) -> Path:
    """The interpreter of an environment with these packages only."""
    asked = [python, "-c", "import platform; print(platform.python_version())"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    folder = CACHE / re.sub(r"[^\w.-]", "", "-".join([version, *packages]))
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not ((folder / "ready").exists() and (folder / "bin" / "python").exists()):
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
            pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
            quietly = ["--quiet", "--quiet", "--disable-pip-version-check", "--no-compile"]
            subprocess.run([*pip, "install", *quietly, *packages], check=True, cwd=CACHE)
            (folder / "ready").touch()
    return folder / "bin" / "python"


def wrap(site: Site, python: Path) -> str:
    """Install a kernel of ours around an environment's ipykernel, "other"; returns its name."""
    kernels = site.root / "prefix" / "share" / "jupyter" / "kernels"
    (kernels / "other").mkdir(exist_ok=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {
        "argv": argv, "display_name": "Other", "language": "python",
        "env": {"FROM_SPEC": "yes"}, "metadata": {"debugger": True},
    }  # fmt: skip
    (kernels / "other" / "kernel.json").write_text(json.dumps(spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", site.environment["JUPYTER_PATH"])
        return install.install(site.root / "prefix", inner="other").name


def check_names_go_both_ways(kernel: Kernel) -> None:
    """Ordinary and batch cells run in the other environment, and give each other their names."""
    kernel.run("import sys, os\ndef f(x):\n    return x + len(sys.version_info)\nbase = 1")
    where = kernel.run("sys.executable, os.environ['FROM_SPEC']").value
    cell = kernel.batch("import sys\nthere, got = sys.executable, f(base)\ngot")
    assert cell.value == "6"
    assert kernel.run("(there, os.environ['FROM_SPEC'])").value == where
    assert kernel.run("'cloudpickle' in sys.modules, got").value == "(True, 6)"
    kernel.batch("from ganga_kernel import progress\nprogress(1, 2)")
    assert kernel.run("progress(2, 2)").reply["status"] == "ok"
    slow = kernel.run("%%batch\nimport time; time.sleep(0.5); slow = 1")
    assert kernel.run("slow").value == "1"
    failing = kernel.run("%%batch\n1/0")
    kernel.until_panel(failing, "failed")
    assert slow.states == ["busy", "idle"] and failing.error.startswith("ZeroDivisionError")
