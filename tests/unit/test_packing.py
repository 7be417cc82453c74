"""What is packed of an environment, and that it runs elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ganga_kernel.errors import BackendError
from ganga_kernel.packing import libraries
from ganga_kernel.packing.environment import entries, fingerprint, look
from ganga_kernel.packing.pack import pack
from ganga_kernel.packing.packname import PackName, existing, parsed


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with a package of three folders, and the folder of packs beside it."""
    folder = tmp_path_factory.mktemp("made")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    (packages / "own.py").write_text("answer = 42\n")
    (packages / "linked.py").symlink_to("own.py")
    (packages / "away.py").symlink_to(folder / "elsewhere.py")
    (packages / "around").symlink_to(packages)
    (folder / "elsewhere.py").write_text("answer = 43\n")
    (packages / "__pycache__").mkdir()
    (packages / "__pycache__" / "own.cpython-311.pyc").write_text("")
    (folder / "system" / "site-packages").mkdir(parents=True)
    (folder / "system" / "site-packages" / "further.py").write_text("answer = 44\n")
    (folder / "env" / "share").mkdir()
    (folder / "env" / "share" / "data.txt").write_text("data")
    (folder / "objects").mkdir()
    return folder


def packed(made: Path) -> Path:
    python = str(made / "env" / "bin" / "python")
    (packages,) = (made / "env" / "lib").glob("python*/site-packages")
    path = [
        "",
        "/usr/lib/other",
        str(packages),
        str(made / "system" / "site-packages"),
        "/gone/site-packages",
    ]
    return pack(python, path, dict(os.environ), made / "objects")


def unpacked(archive: Path, folder: Path) -> Path:
    folder.mkdir()
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(folder)], check=True)
    return folder


def test_a_pack_runs_elsewhere_with_all_that_it_needs(made: Path, tmp_path: Path) -> None:
    archive = packed(made)
    root = unpacked(archive, tmp_path / "moved")
    code = (
        "import json, sys, own, linked, away, further, ctypes, ssl, sqlite3\n"
        "mapped = {line.split()[-1] for line in open('/proc/self/maps') if '.so' in line}\n"
        "print(json.dumps([sys.prefix, sys.path, own.answer, linked.answer, away.answer, further.answer,\n"
        "                  sorted(mapped)]))"
    )
    said = subprocess.run([root / "bin" / "python", "-B", "-c", code], env={}, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    prefix, path, *answers, mapped = json.loads(said.stdout)
    assert prefix == str(root) and answers == [42, 42, 43, 44]
    assert all(entry == "" or entry.startswith(str(root)) for entry in path)
    outside = [name for name in mapped if not name.startswith(str(root))]
    glibc = ("ld-linux", "libc.", "libm.", "libdl.", "libpthread.", "librt.", "libutil.", "libresolv.")
    assert all(Path(name).name.startswith(glibc) for name in outside)
    assert (root / "share" / "data.txt").read_text() == "data"
    assert not list(root.rglob("__pycache__")) and not list(root.glob("lib/python*/test"))
    name = parsed(archive.name)
    used = sum(file.lstat().st_blocks for file in root.rglob("*") if not file.is_dir()) // 2
    assert 0.8 * used < name.kilobytes < 1.2 * used + 1024
    assert name.machine == os.uname().machine and name.glibc.startswith("2.")


def test_an_unchanged_environment_is_packed_once_and_a_changed_one_again(made: Path) -> None:
    first = packed(made)
    written = first.stat().st_ino
    assert packed(made) == first and first.stat().st_ino == written
    (packages,) = (made / "env" / "lib").glob("python*/site-packages")
    (packages / "new.py").write_text("")
    second = packed(made)
    assert second != first
    os.utime(packages / "new.py", (1, 1))
    assert packed(made) not in (first, second)
    (packages / "new.py").unlink()
    os.utime(first, (1, 1))
    assert packed(made) == first and first.stat().st_mtime > 1
    os.utime(second, (1, 1))
    (made / "objects" / "packing-killed").mkdir()
    os.utime(made / "objects" / "packing-killed", (1, 1))
    (packages / "newer.py").write_text("")
    packed(made)
    assert first.exists() and not second.exists() and not (made / "objects" / "packing-killed").exists()
    (packages / "newer.py").unlink()
    assert not [path for path in (made / "objects").iterdir() if not path.name.endswith(".tar.gz")]


def test_a_fingerprint_does_not_depend_on_the_order(made: Path) -> None:
    environment = look(sys.executable, sys.path, dict(os.environ))
    found = entries(environment)
    assert fingerprint(found) == fingerprint(reversed(found)) != fingerprint(found[1:])


@pytest.mark.filterwarnings("ignore:\\s*Conda-managed packages")
def test_conda_s_environments_are_packed_by_conda_pack(made: Path, tmp_path: Path) -> None:
    # Our own pack is a folder with an interpreter of its own, as conda's environments are.
    root = unpacked(packed(made), tmp_path / "conda")
    (root / "conda-meta").mkdir()
    (root / "pkgs").mkdir()
    (root / "pkgs" / "downloaded").write_bytes(bytes(200 * 2**20))
    (root / "conda-meta" / "history").write_text("")
    version = "{}.{}.{}".format(*sys.version_info[:3])
    files = ["share/where.txt"]
    (root / "share" / "where.txt").write_text(f"prefix={root}\n")
    meta = {"name": "python", "version": version, "link": {}, "files": files, "url": ""}
    (root / "conda-meta" / f"python-{version}-0.json").write_text(json.dumps(meta))
    archive = pack(str(root / "bin" / "python"), sys.path, dict(os.environ), made / "objects")
    assert parsed(archive.name).kilobytes < 200 * 1024
    moved = unpacked(archive, tmp_path / "moved")
    subprocess.run([moved / "bin" / "python", moved / "bin" / "conda-unpack"], env={}, check=True)
    assert (moved / "share" / "where.txt").read_text() == f"prefix={moved}\n"
    shutil.rmtree(root)
    code = "import own, ssl; print(own.answer)"
    done = subprocess.run([moved / "bin" / "python", "-c", code], env={}, capture_output=True, text=True)
    assert done.stdout == "42\n", done.stderr


def test_what_can_not_be_packed_says_why(made: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"/nowhere/python, can't be packed, as it doesn't run: .*No such"):
        pack("/nowhere/python", [], {}, tmp_path)
    with pytest.raises(BackendError, match=r"can't be packed into .*nowhere.*\n.*spool_dir"):
        pack(str(made / "env" / "bin" / "python"), [], dict(os.environ), tmp_path / "nowhere")


def test_names_say_what_a_pack_needs(tmp_path: Path) -> None:
    name = PackName("abc", "x86_64", "2.34", 1234)
    assert str(name) == "pack-abc-x86_64-2.34-1234.tar.gz" and parsed(str(name)) == name
    assert existing(tmp_path, "abc") is None
    (tmp_path / str(name)).touch()
    assert existing(tmp_path, "abc") == tmp_path / str(name) and existing(tmp_path, "ab") is None


def test_the_glibc_that_a_library_needs() -> None:
    assert libraries.glibc_of(b"\0GLIBC_2.2.5\0GLIBC_2.9\0GLIBC_2.34\0GLIBC_PRIVATE\0") == 34
    assert libraries.glibc_of(b"nothing") == 0


def test_a_pack_is_a_tar_archive_that_no_root_is_needed_for(made: Path) -> None:
    with tarfile.open(packed(made)) as archive:
        for member in archive:
            assert not member.name.startswith(("/", "..")) and (member.isfile() or member.issym())
            assert (member.uid, member.gid) == (0, 0) and member.mode & 0o200
