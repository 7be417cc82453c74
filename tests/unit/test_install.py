"""``ganga-kernel install``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ganga_kernel", *arguments], capture_output=True, text=True, check=False
    )


def test_it_installs_spec_and_logos_under_a_prefix(tmp_path: Path) -> None:
    done = command("install", "--prefix", str(tmp_path), "--name", "mine", "--display-name", "My grid")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "share" / "jupyter" / "kernels" / "mine"
    spec = json.loads((folder / "kernel.json").read_text())
    assert spec["display_name"] == "My grid" and spec["argv"][0] == sys.executable
    assert (folder / "logo-64x64.png").exists() and (folder / "logo-svg.svg").exists()


def test_mistakes_are_told_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for arguments in (["--user", "--prefix", "x"], ["--name", "no/slash"], ["--prefix", str(file)]):
        done = command("install", *arguments)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr and done.stderr.strip()


def test_version_and_no_command() -> None:
    assert command("--version").stdout.startswith("0.")
    assert command().returncode == 2
