"""The files that a cell is to have (``--input``): which they are, and how they go along."""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .errors import CellError
from .payload import tarred

#: Bytes from which on a file travels by itself, from its own place: it isn't copied into the spool.
LARGE = 1 << 26
#: Files that a cell may have.
_MOST = 100_000
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class File(NamedTuple):
    """A file that goes along.

    Attributes
    ----------
    place: its path without the slash at its beginning
    size: bytes
    changed: when it was changed last, in nanoseconds
    mode: its rights, as `os.stat` says them
    """

    place: str
    size: int
    changed: int
    mode: int


class Inputs(NamedTuple):
    """What a cell is to have.

    Attributes
    ----------
    files: by place
    folders: those without a file in them, by place
    urls: what HTCondor fetches
    """

    files: list[File]
    folders: list[str]
    urls: list[str]


def pattern(text: str) -> str:
    """A value of ``--input``: a relative path or glob, or a URL whose last part names a file."""
    text = text.strip()
    if is_url(text):
        name = text.rpartition("/")[2]
        if not re.fullmatch(r"[\w.+=@%~-]+", name, re.ASCII) or text.count("/") < 3:
            raise ValueError("the URL must end with the name of a file")
        return text
    if not text or text.startswith("/"):
        raise ValueError(
            "it is a path relative to the notebook's folder, as the cell opens it; put a link to what lies "
            "elsewhere beside the notebook"
        )
    return text


def output_pattern(text: str) -> str:
    """A value of ``--output``: a path or glob below the notebook's folder."""
    text = os.path.normpath(text.strip()) if text.strip() else ""
    if not tarred.is_place(text):
        raise ValueError("it is a path below the notebook's folder, as the cell writes it")
    return text


def is_url(text: str) -> bool:
    """Whether it is a URL, and no path."""
    return _URL.match(text) is not None


def place_of(directory: str, path: str) -> str:
    """A path as the cell has it, without the slash at its beginning."""
    return os.path.normpath(os.path.join(directory, path)).lstrip("/")


def together(given: Iterable[str]) -> tuple[str, ...]:
    """Patterns that were given one by one, each once."""
    return tuple(dict.fromkeys(given))


def look(directory: Path, patterns: Iterable[str]) -> Inputs:
    """Find out which files a cell is to have; nothing is read.

    Parameters
    ----------
    directory: the notebook's folder

    Raises
    ------
    CellError: a pattern names nothing, or a file that can't be read.
    """
    urls, files, folders = [], dict[str, File](), set[str]()
    for one in patterns:
        if is_url(one):
            urls.append(one)
            continue
        paths = [str(directory / one)] if (directory / one).exists() else _matching(directory, one)
        for path in paths:
            for found, content in _below(os.path.normpath(path)):
                place = found.lstrip("/")
                if content:
                    files[place] = _looked_at(found)
                else:
                    folders.add(place)
                if len(files) > _MOST:
                    raise CellError(
                        f"--input {one} names more than {_MOST:,} files.", "Send an archive of them."
                    )
    names = [url.rpartition("/")[2] for url in urls]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise CellError(f"Two URLs of --input bring a file named {twice}.", "Name one of them otherwise.")
    return Inputs(sorted(files.values()), sorted(folders), urls)


def _matching(directory: Path, one: str) -> list[str]:
    found = [str(directory / path) for path in glob.glob(one, root_dir=directory, recursive=True)]
    if not found:
        raise CellError(
            f"--input {one} names no file: there is nothing of that name in {directory}.",
            "Check the path, which is relative to that folder, or make the file first.",
        )
    return sorted(found)


def _below(path: str) -> Iterator[tuple[str, bool]]:
    """A file; or all files below a folder, by links too, and the folders without any: True for a file."""
    if not os.path.isdir(path):
        yield path, True
        return
    seen = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            folders.clear()
            continue
        seen.add(real)
        if not folders and not names:
            yield folder, False
        yield from ((os.path.join(folder, name), True) for name in names)


def _looked_at(path: str) -> File:
    try:
        state = os.stat(path)
    except OSError as error:
        raise CellError(
            f"--input names {path}, which can't be read: {error.strerror}.", "Leave it out."
        ) from error
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise CellError(f"--input names {path}, which is no file that can be read.", "Leave it out.")
    return File(path.lstrip("/"), state.st_size, state.st_mtime_ns, state.st_mode)


def described(
    directory: Path, inputs: Inputs, output: Iterable[str], travel: bool, objects: Path
) -> dict[str, Any]:
    """The files as a job's description has them, see `payload.job.Files`; what travels is in the spool then.

    Parameters
    ----------
    travel: whether the files travel; else the workers see the notebook's folder
    objects: folder of content-addressed files

    Raises
    ------
    CellError: files change while they are read, or need a backend that fetches URLs.
    OSError: they can't be read, or the spool not be written.
    """
    if inputs.urls and not travel:
        raise CellError(
            f"--input {inputs.urls[0]}: only HTCondor fetches URLs.",
            "Download it beside the notebook, or use HTCondor.",
        )
    large = [file for file in inputs.files if file.size >= LARGE]
    small = [file for file in inputs.files if file.size < LARGE]
    archive = _store(small, inputs.folders, objects) if travel and (small or inputs.folders) else None
    return {
        "travel": travel,
        "folder": directory.stat().st_ino,
        "inputs": [(file.place, file.size, file.changed) for file in inputs.files],
        "archive": archive and str(archive),
        "large": [(file.place, str(_link(file, objects)), file.size) for file in large] if travel else [],
        "urls": inputs.urls,
        "output": list(output),
        "folders": [folder for one in output if (folder := _folder_for(directory, one))],
    }


def _folder_for(directory: Path, one: str) -> str:
    """The folder of what ``--output`` names, below the notebook's, as far as it is there; else empty."""
    plain = list(itertools.takewhile(lambda part: not set(part) & set("*?["), one.split("/")))
    whole = ("/".join(plain[:count]) for count in range(len(plain), 0, -1))
    return next((path for path in whole if (directory / path).is_dir()), "")


def state(inputs: Inputs) -> str:
    """What is another one when a file has changed."""
    return _digest(inputs)


def _store(files: list[File], folders: list[str], objects: Path) -> Path:
    """The archive of files, named by their places, sizes and times: the same is written once."""
    path = objects / f"{_digest([files, folders])}.tar"
    if path.exists():
        return path
    handle, temporary = tempfile.mkstemp(dir=objects, prefix="files-")
    try:
        with os.fdopen(handle, "wb") as stream:
            writer = tarred.Writer(stream)
            for folder in folders:
                writer.add_folder(folder)
            for file in files:
                writer.add_file(file.place, "/" + file.place)
            writer.close()
        for file in files:
            if _looked_at("/" + file.place) != file:
                raise CellError(f"/{file.place} was changed while it was read.", "Run the cell again.")
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def _link(file: File, objects: Path) -> Path:
    """A link to a large file, of a name that no other file of the job has."""
    path = objects / f"{_digest(file)}.link"
    if not path.is_symlink():
        path.symlink_to("/" + file.place)
    return path


def _digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()
