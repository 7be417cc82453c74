"""Makes the archive of an environment."""

from __future__ import annotations

import gzip
import io
import mmap
import os
import platform
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import conda_pack

from ..errors import BackendError
from . import libraries
from .environment import Entry, Environment, entries, fingerprint, look, place
from .packname import PackName, all_in, existing

#: Where the shared libraries from outside the environment are in a pack.
_LIBRARIES = "lib/bundled"
#: Of a file's size and a disk's blocks: what an unpacked file takes up.
_BLOCK = 4096
#: Seconds for which a pack is kept that no job asks for.
_KEPT = 60 * 86400
#: How the folder begins in which one is made, and the seconds that this may take.
_UNFINISHED, _LONGEST = "packing-", 86400
#: What tells the interpreter of further folders that have packages.
_MORE = "ganga-kernel-pack.pth"


def pack(python: str, import_path: Iterable[str], environ: Mapping[str, str], objects: Path) -> Path:
    """The pack of an interpreter's environment; it is made if it isn't there.

    Parameters
    ----------
    import_path, environ: see `environment.look`
    objects: folder of the packs

    Raises
    ------
    BackendError: it can't be made.
    """
    environment = look(python, import_path, environ)
    found = entries(environment)
    digest = fingerprint(found)
    there = existing(objects, digest)
    try:
        if there is not None:
            there.touch()
            return there
        _forget_old(objects)
        return _make(environment, found, digest, objects)
    except OSError as error:
        raise BackendError(
            f"The notebook's environment can't be packed into {objects}: {error}.",
            "Make room there, or set c.GangaKernel.spool_dir to another disk.",
        ) from error


def _make(environment: Environment, found: list[Entry], digest: str, objects: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=objects) as scratch:
        new = Path(scratch, "pack.tar.gz")
        make = _with_conda_pack if environment.is_conda else _ourselves
        needs = make(environment, found, new)
        name = PackName(digest, platform.machine(), f"2.{needs.glibc}", needs.kilobytes)
        path = objects / str(name)
        new.replace(path)
    return path


def _forget_old(objects: Path) -> None:
    """Remove the packs that no job has asked for in a long time: each change of an environment makes one.

    And what was left of those that could not be made to the end.
    """
    now = time.time()
    for path in all_in(objects):
        if now - path.stat().st_mtime > _KEPT:
            path.unlink()
    for folder in objects.glob(f"{_UNFINISHED}*"):
        if now - folder.stat().st_mtime > _LONGEST:
            shutil.rmtree(folder, ignore_errors=True)  # another process may do so, too


def _with_conda_pack(environment: Environment, found: list[Entry], new: Path) -> _Needs:
    """An environment of conda's: its interpreter is within it, and conda-pack knows the paths in files."""
    needs = _Needs()
    for entry in found:
        if entry.link:
            needs.count(0)
        else:
            with open(entry.path, "rb") as file:
                needs.count(entry.size, file)
    try:
        with redirect_stdout(sys.stderr):
            conda_pack.pack(
                prefix=str(environment.prefix), output=str(new), compress_level=1, n_threads=-1,
                filters=[("exclude", "*.pyc")], ignore_editable_packages=True, ignore_missing_files=True,
            )  # fmt: skip
    except conda_pack.CondaPackException as error:
        raise BackendError(
            f"conda-pack can't pack {environment.prefix}: {error}.",
            "Mend the environment, or leave --pack out.",
        ) from error
    return needs


def _ourselves(environment: Environment, found: list[Entry], new: Path) -> _Needs:
    archive = _Archive()
    with archive.to(new):
        _fill(archive, environment, found, new.parent)
    return archive.needs


def _fill(archive: _Archive, environment: Environment, found: list[Entry], scratch: Path) -> None:
    """Add an interpreter, changed so that it finds its libraries, and all else."""
    changed = {"bin/python": str(environment.executable)}
    # The modules as well: one with a path of its own (as pyenv builds them) asks only that.
    changed.update(
        (entry.name, entry.path)
        for entry in found
        if "/lib-dynload/" in entry.name and entry.name.endswith(".so") and not entry.link
    )
    bundled = libraries.needed(changed.values())
    copies = changed | {f"{_LIBRARIES}/{name}": path for name, path in bundled.items()}
    for name, path in copies.items():
        copy = Path(shutil.copy(path, scratch / Path(name).name))
        libraries.look_first(copy, os.path.relpath(_LIBRARIES, Path(name).parent))
        archive.add(name, copy)
        copy.unlink()
    for name in ("python3", f"python{environment.version}"):
        archive.link(f"bin/{name}", "python")
    if more := [place(environment, number) for number in range(1, len(environment.installed))]:
        archive.write(f"{environment.packages}/{_MORE}", _more(environment, more))
    for entry in found:
        if entry.link:
            archive.link(entry.name, entry.link)
        elif entry.name not in copies:
            archive.add(entry.name, Path(entry.path))


def _more(environment: Environment, places: list[str]) -> bytes:
    """A file that `site` reads in the first of the folders that have packages, and adds the others."""
    relative = [os.path.relpath(one, environment.packages) for one in places]
    lines = [f"import site; site.addsitedir(os.path.join(sitedir, {one!r}))\n" for one in relative]
    return "".join(lines).encode()


class _Needs:
    """What the files of a pack need on a worker.

    Attributes
    ----------
    kilobytes: of disk, once they are unpacked
    glibc: the N of the newest glibc, 2.N, that one of them is made for
    """

    def __init__(self) -> None:
        self.kilobytes = self.glibc = 0

    def count(self, size: int, file: io.BufferedReader | None = None) -> None:
        """Count a file of so many bytes in, and look what it says of glibc."""
        self.kilobytes += -(-max(size, 1) // _BLOCK) * _BLOCK // 1024
        if file is not None and file.read(4) == b"\x7fELF":
            with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as content:
                self.glibc = max(self.glibc, libraries.glibc_of(content))


class _Archive:
    """A gzipped tar archive that is being written.

    Attributes
    ----------
    needs: what the files in it need
    """

    def __init__(self) -> None:
        self.needs = _Needs()

    @contextmanager
    def to(self, path: Path) -> Iterator[None]:
        """Write to a file until this ends. Fast rather than small: it is sent once."""
        with (
            gzip.open(path, "wb", compresslevel=1) as compressed,
            tarfile.open(fileobj=compressed, mode="w|", format=tarfile.GNU_FORMAT) as self._tar,
        ):
            yield

    def add(self, name: str, path: Path) -> None:
        """Add a file."""
        try:
            file = path.open("rb")
        except OSError:  # gone meanwhile, or not to be read by the notebook either
            return
        with file:
            status = os.fstat(file.fileno())
            self.needs.count(status.st_size, file)
            file.seek(0)
            member = _member(name, status.st_size)
            member.mtime, member.mode = int(status.st_mtime), status.st_mode & 0o777 | 0o600
            self._tar.addfile(member, file)

    def write(self, name: str, content: bytes) -> None:
        """Add a file with a content."""
        self.needs.count(len(content))
        self._tar.addfile(_member(name, len(content)), io.BytesIO(content))

    def link(self, name: str, to: str) -> None:
        """Add a link."""
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, to
        self.needs.count(0)
        self._tar.addfile(member)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member
