"""The archive: one file, named after its content, that needs nothing else."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from ganga_kernel.payload import archive


def test_same_content_same_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = archive.build(tmp_path / "a")
    archive._archive.cache_clear()  # as in another process
    second = archive.build(tmp_path / "b")
    assert first.name == second.name and first.read_bytes() == second.read_bytes()
    assert first.name == hashlib.sha256(first.read_bytes()).hexdigest() + ".pyz"
    assert list((tmp_path / "a").iterdir()) == [first]


def test_archive_that_is_there_is_kept(tmp_path: Path) -> None:
    before = archive.build(tmp_path).stat()
    after = archive.build(tmp_path).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_content(tmp_path: Path) -> None:
    names = zipfile.ZipFile(archive.build(tmp_path)).namelist()
    assert "__main__.py" in names and "_ganga_kernel/payload/run.py" in names
    assert "vendor/cloudpickle/__init__.py" in names
    assert "vendor/cloudpickle/LICENSE" in names
    assert not [n for n in names if n.endswith(".pyc") or "archive" in n]


def test_imports_only_the_standard_library(tmp_path: Path) -> None:
    """Every module but the one for IPython can be imported with a bare standard library."""
    code = (
        "import importlib, pkgutil, sys\n"
        "import _ganga_kernel.payload as p\n"
        "for m in pkgutil.iter_modules(p.__path__):\n"
        "    if m.name != 'shell': importlib.import_module('_ganga_kernel.payload.' + m.name)\n"
        "assert not {'IPython', 'cloudpickle', 'ganga_kernel'} & set(sys.modules)\n"
    )
    path = archive.build(tmp_path)
    start = f"import sys; sys.path.insert(0, {str(path)!r})\n"
    subprocess.run([sys.executable, "-S", "-I", "-c", start + code], check=True)
