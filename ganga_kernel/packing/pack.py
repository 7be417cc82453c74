"""Makes the archive of an environment."""

from __future__ import annotations

import gzip
import io
import mmap
import os
import platform
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..errors import BackendError
from . import libraries
from .environment import Entry, Environment, entries, fingerprint, look, place
from .packname import PackName, existing

#: Where the shared libraries from outside the environment are in a pack.
_LIBRARIES = "lib/bundled"
#: Of a file's size and a disk's blocks: what an unpacked file takes up.
_BLOCK = 4096
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
    if there is not None:
        return there
    try:
        return _make(environment, found, digest, objects)
    except OSError as error:
        raise BackendError(
            f"The notebook's environment can't be packed into {objects}: {error}.",
            "Make room there, or set c.GangaKernel.spool_dir to another disk.",
        ) from error


def _make(environment: Environment, found: list[Entry], digest: str, objects: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix="packing-", dir=objects) as scratch:
        new = Path(scratch, "pack.tar.gz")
        archive = _Archive()
        with archive.to(new):
            _fill(archive, environment, found, Path(scratch))
        name = PackName(digest, platform.machine(), f"2.{archive.glibc}", archive.kilobytes)
        path = objects / str(name)
        new.replace(path)
    return path


def _fill(archive: _Archive, environment: Environment, found: list[Entry], scratch: Path) -> None:
    """Add an interpreter, changed so that it finds its libraries, and all else."""
    modules = [entry.path for entry in found if "/lib-dynload/" in entry.name and entry.name.endswith(".so")]
    bundled = libraries.needed([str(environment.executable), *modules])
    copies = {f"{_LIBRARIES}/{name}": path for name, path in bundled.items()}
    copies["bin/python"] = str(environment.executable)
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


class _Archive:
    """A gzipped tar archive that is being written.

    Attributes
    ----------
    kilobytes: what its files take up once they are unpacked
    glibc: the N of the newest glibc, 2.N, that one of them needs
    """

    def __init__(self) -> None:
        self.kilobytes = self.glibc = 0

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
            self._look_into(file, status.st_size)
            member = _member(name, status.st_size)
            member.mtime, member.mode = int(status.st_mtime), status.st_mode & 0o777 | 0o600
            self._add(member, file)

    def write(self, name: str, content: bytes) -> None:
        """Add a file with a content."""
        self._add(_member(name, len(content)), io.BytesIO(content))

    def link(self, name: str, to: str) -> None:
        """Add a link."""
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, to
        self._add(member, None)

    def _add(self, member: tarfile.TarInfo, content: io.BufferedIOBase | None) -> None:
        self._tar.addfile(member, content)
        self.kilobytes += -(-max(member.size, 1) // _BLOCK) * _BLOCK // 1024

    def _look_into(self, file: io.BufferedReader, size: int) -> None:
        if file.read(4) == b"\x7fELF":
            with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as content:
                self.glibc = max(self.glibc, libraries.glibc_of(content))
        file.seek(0)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member
