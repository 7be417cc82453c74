"""Archives of files: a cell's input on its way to the worker, and what it wrote on its way back.

A tar file of regular files and folders, by relative paths. Whoever reads one takes nothing else from it: no
absolute path, no ``..``, no link, no device.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path
from typing import IO, Any, Iterator, NamedTuple

#: Bytes that are read or written at once.
_BLOCK = 1 << 20


class ArchiveError(Exception):
    """An archive holds what it must not, or isn't whole. The text says what, as a clause."""


class Member(NamedTuple):
    """A file or folder of an archive.

    Attributes
    ----------
    place: its path, relative and normal
    content: of a file, to be read before the next member is asked for; None for a folder
    """

    place: str
    mode: int
    changed: float
    content: IO[bytes] | None


class Writer:
    """Writes an archive to a stream that can only be appended to.

    Raises
    ------
    OSError: it can't be written.
    """

    def __init__(self, stream: Any) -> None:
        self._tar = tarfile.open(  # noqa: SIM115 (it is closed by `close`)
            fileobj=stream, mode="w|", bufsize=_BLOCK, format=tarfile.PAX_FORMAT
        )

    def add_file(self, place: str, path: str) -> None:
        """Add a file as it is now; of one that a link leads to its content.

        Raises
        ------
        OSError: it can't be read, or gets shorter meanwhile.
        """
        with open(path, "rb") as file:
            state = os.fstat(file.fileno())
            self._tar.addfile(
                _entry(place, tarfile.REGTYPE, state.st_mode, state.st_mtime, state.st_size), file
            )

    def add_folder(self, place: str) -> None:
        """Add a folder; those above a file needn't be added."""
        self._tar.addfile(_entry(place, tarfile.DIRTYPE, 0o755, 0.0, 0))

    def close(self) -> None:
        """Write the archive's end."""
        self._tar.close()


def _entry(place: str, kind: bytes, mode: int, changed: float, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(place)
    entry.type, entry.mode, entry.mtime, entry.size = kind, mode & 0o777, int(changed), size
    return entry


def is_place(text: str) -> bool:
    """Whether a text is a relative and normal path, below the folder that it is relative to."""
    parts = text.split("/")
    return "\0" not in text and all(part not in ("", ".", "..") for part in parts)


def members(stream: Any) -> Iterator[Member]:
    """The files and folders of an archive, in their order.

    Raises
    ------
    ArchiveError: it holds what it must not, or isn't whole.
    OSError: it can't be read.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_BLOCK) as tar:
            for entry in tar:
                yield _member(tar, entry)
    except tarfile.TarError as error:
        raise ArchiveError(f"it is damaged ({error})") from error


def _member(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> Member:
    if not is_place(entry.name):
        raise ArchiveError(f"it holds {entry.name!r}, which is no path below a folder")
    if not (entry.isreg() or entry.isdir()):
        raise ArchiveError(f"it holds {entry.name!r}, which is neither a file nor a folder")
    return Member(
        entry.name, entry.mode & 0o777, entry.mtime, tar.extractfile(entry) if entry.isreg() else None
    )


def write_content(member: Member, file: IO[bytes]) -> None:
    """Write a member's content, mode and time to a file that was just made.

    Raises
    ------
    ArchiveError: the archive isn't whole.
    OSError: it can't be written.
    """
    assert member.content is not None
    try:
        shutil.copyfileobj(member.content, file, _BLOCK)
    except tarfile.TarError as error:
        raise ArchiveError(f"it is damaged ({error})") from error
    file.flush()
    os.chmod(file.fileno(), member.mode | 0o600)
    os.utime(file.fileno(), (member.changed, member.changed))


def unpack(archive: Path, folder: Path) -> None:
    """Put all files and folders of an archive into a folder, in which none of them is.

    Raises
    ------
    ArchiveError: it holds what it must not, or isn't whole.
    OSError: it can't be read, or one of them not be written.
    """
    with archive.open("rb") as stream:
        for member in members(stream):
            path = folder / member.place
            if member.content is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                write_content(member, file)
