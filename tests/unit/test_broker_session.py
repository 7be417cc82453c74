"""What is left of Ganga's session when its process is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_START = """
import json, os, sys
from pathlib import Path
from ganga_kernel.broker.session import GangaSession

session = GangaSession(Path(sys.argv[1]) / "ganga", lambda *_: None)
session.boot()
"""
_KILLED = """
from GangaCore.Lib.Localhost.Localhost import Localhost

session.submit("submitted", "Local", {}, [["/bin/true"]])
Localhost.master_submit = lambda *_: os.kill(os.getpid(), 9)
session.submit("not submitted", "Local", {}, [["/bin/true"]])
"""
_NEXT = """
found = [session.find(token) for token in ("submitted", "not submitted")]
again = session.submit("not submitted", "Local", {}, [["/bin/true"]])
names = [job.name for job in session._ganga.jobs]
(Path(sys.argv[1]) / "answer").write_text(json.dumps([found, names, again]))
os._exit(0)
"""


def test_a_submitted_job_is_on_disk_and_one_that_was_not_leaves_nothing(tmp_path: Path) -> None:
    killed = _run(tmp_path, _KILLED)
    assert killed.returncode == -9, killed.stderr
    answered = _run(tmp_path, _NEXT)
    assert answered.returncode == 0, answered.stderr
    found, names, again = json.loads((tmp_path / "answer").read_text())
    assert found == [0, None]
    assert names == ["submitted", "not submitted"]
    assert again == 2, "no number is used twice"


def _run(folder: Path, script: str) -> subprocess.CompletedProcess[Any]:
    return subprocess.run(
        [sys.executable, "-c", _START + script, str(folder)],
        env={**os.environ, "HOME": str(folder)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
