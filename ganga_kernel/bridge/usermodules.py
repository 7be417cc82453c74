"""Modules of the user's own travel to a job: the files of each module and package that its code may import.

They go into one archive, named by its content, from which the worker imports them (see
`ganga_kernel.payload.shipped`). What is installed doesn't travel: the worker has it. A package travels as a
whole, with the files beside its modules, since nobody can tell which of them it opens.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import io
import json
import os
import pickle
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from . import modules, modulestate

#: What one module or package may take at most: bytes, files.
_MOST_BYTES, _MOST_FILES = 50_000_000, 10_000
_SUFFIXES = sorted(importlib.machinery.all_suffixes(), key=len, reverse=True)
#: The archives that were written, by what tells the state of all their files.
_written: dict[str, str] = {}
#: Modules that jobs were sent: their results may need them wherever they are read.
_sent: set[str] = set()


class Shipment(NamedTuple):
    """What is sent to a job.

    Attributes
    ----------
    path: the archive; None if the job needs no module of the user's own
    refused: by name, the modules that can't travel, and why
    edited: the modules whose file was edited after they were imported
    state: by module, what was set in it, see `modulestate.changed`
    """

    path: str | None = None
    refused: Mapping[str, str] = MappingProxyType({})
    edited: Sequence[str] = ()
    state: Mapping[str, dict[str, Any]] = MappingProxyType({})


class _Refused(Exception):
    """A module can't travel; the text says why, as a clause."""


class _File(NamedTuple):
    """A file that travels: its path here, its size in bytes, and when it was changed."""

    path: str
    size: int
    changed: int


def ship(names: Iterable[str], objects: str, has_inputs: bool) -> Shipment:
    """Write the user's own modules among these, and all those that they import, to a file.

    Parameters
    ----------
    names: modules that the job may import
    objects: folder of content-addressed files; the archive becomes ``<sha256>.zip`` there
    has_inputs: whether the job takes results of other jobs, which may need the modules that those had

    Raises
    ------
    OSError: the archive can't be written.
    """
    wanted = {*names, *(_sent if has_inputs else ())}
    own = modules.own(wanted)
    tops = [name for name in sorted(own) if name.rpartition(".")[0] not in own]
    files: dict[str, _File] = {}
    refused: dict[str, str] = {}
    for name in tops:
        try:
            files.update(_files(name, own[name]))
        except _Refused as error:
            refused[name] = str(error)
    if not tops:
        return Shipment()
    _sent.update(tops)
    edited = [name for name in sorted(own) if modulestate.edited(name)]
    state = {name: modulestate.changed(name) for name in own if name not in edited}
    state = {name: values for name, values in state.items() if values}
    parts = files, refused, pickle.dumps(state)
    key = repr((objects, *parts))
    path = _written.get(key, "")
    if not os.path.exists(path):
        path = _written[key] = _write(*parts, objects)
    return Shipment(path, refused, edited, state)


def _files(name: str, spec: Any) -> dict[str, _File]:
    """The files of a module or package, by their place below the folder that it is imported from.

    Raises
    ------
    _Refused: they can't travel.
    """
    where = name.replace(".", "/")
    if spec.submodule_search_locations is None:
        suffix = next((suffix for suffix in _SUFFIXES if spec.origin.endswith(suffix)), None)
        if suffix is None:
            raise _Refused(f"{spec.origin} is no kind of file that Python imports by itself")
        found = {where + suffix: _looked_at(spec.origin)}
    else:
        found = {}
        for folder in map(str, spec.submodule_search_locations):
            for place, path in _within(folder, bool(spec.has_location)):
                found.setdefault(f"{where}/{place}", _looked_at(path))
    size = sum(file.size for file in found.values())
    if size > _MOST_BYTES:
        raise _Refused(
            f"its files are {size / 1e6:.0f} MB, and {_MOST_BYTES / 1e6:.0f} MB may travel. Move its data to "
            "another folder, or install it where the jobs run"
        )
    return found


def _within(folder: str, regular: bool) -> Iterator[tuple[str, str]]:
    """The files of a package's folder: place and path. Where there is no ``__init__.py``, modules only."""
    packages = {folder} if regular else set()
    seen = 0
    for at, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [one for one in sorted(folders) if one[0] != "." and one != "__pycache__"]
        seen += len(folders) + len(files)
        if seen > _MOST_FILES:
            raise _Refused(
                f"its folder {folder} holds more than {_MOST_FILES:,} files. Move them to another folder, or "
                "install it where the jobs run"
            )
        if at in packages or "__init__.py" in files:
            packages |= {os.path.join(at, one) for one in folders}
        else:
            files = [one for one in files if one.endswith(tuple(_SUFFIXES))]
        for one in sorted(files):
            path = os.path.join(at, one)
            if one[0] != "." and os.path.isfile(path):
                yield os.path.relpath(path, folder).replace(os.sep, "/"), path


def _looked_at(path: str) -> _File:
    if not os.access(path, os.R_OK):
        raise _Refused(f"its file {path} can't be read")
    state = os.stat(path)
    return _File(os.path.abspath(path), state.st_size, state.st_mtime_ns)


def _write(files: dict[str, _File], refused: dict[str, str], state: bytes, objects: str) -> str:
    """Write the archive and return its path."""
    index = {"origins": {place: file.path for place, file in files.items()}, "refused": refused}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "index.json", json.dumps(index).encode())
        _add(archive, "state.pkl", state)
        for place, file in files.items():
            _add(archive, f"tree/{place}", Path(file.path).read_bytes())
    content = stream.getvalue()
    path = os.path.join(objects, f"{hashlib.sha256(content).hexdigest()}.zip")
    handle, temporary = tempfile.mkstemp(dir=objects, prefix="modules-")
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def _add(archive: zipfile.ZipFile, place: str, content: bytes) -> None:
    """Add a file so that the same content gives the same archive."""
    archive.writestr(zipfile.ZipInfo(place, (1980, 1, 1, 0, 0, 0)), content)
