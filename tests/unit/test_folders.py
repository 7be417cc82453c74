"""Folders that belong to one user only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ganga_kernel.errors import SettingsError
from ganga_kernel.folders import private_folder, runtime_folder, sweep


def test_a_folder_is_made_private_also_if_it_was_not(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    for name in ("new", "open"):
        assert private_folder(tmp_path / name).stat().st_mode & 0o777 == 0o700


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(SettingsError, match="link"):
        private_folder(tmp_path / "link")
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o755


def test_the_runtime_folder_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("x" * 100)))
    assert len(str(runtime_folder())) < 80


def test_folders_of_dead_kernels_are_removed(tmp_path: Path) -> None:
    alive = {f"kernel-{os.getpid()}", "kernel-x", "broker-1"}
    for name in (*alive, "kernel-4194305"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "socket").touch()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == alive
