"""The job description, and where its files are."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class PayloadError(Exception):
    """The payload can't run the cell. Its text says why, and what to do about it."""


@dataclass(frozen=True)
class Input:
    """What to take from the result of another job.

    Attributes
    ----------
    file: the result
    names: the names to take
    same: inputs of that job that this one has, too, see `result.load`
    """

    file: Path
    names: list[str]
    same: dict[str, list[int] | None]


@dataclass(frozen=True)
class Mapped:
    """The map of a cell that runs once for each item.

    Attributes
    ----------
    names: the names that have other values in each item
    items: file of these values, see `items`
    only: the items that run, in order; None for all
    chunks: for each task, its first item and the one after its last; places in `only`, if that is given
    budget: seconds after which a task hands on the items that it has not begun; None: it runs all
    allow_failures: items that fail are left out, and their exceptions are written
    surely: names that the cell surely binds, be it to the very object that they held
    """

    names: list[str]
    items: Path
    only: list[int] | None
    chunks: list[tuple[int, int]]
    budget: float | None
    allow_failures: bool
    surely: list[str]

    def item_at(self, place: int) -> int:
        """The item at a place of a chunk."""
        return place if self.only is None else self.only[place]


@dataclass(frozen=True)
class Large:
    """A file of the input that travels by itself.

    Attributes
    ----------
    place: its path in the notebook, without the slash at its beginning
    size: bytes that it had when the cell was submitted
    """

    place: str
    file: Path
    size: int


@dataclass(frozen=True)
class Files:
    """The files that a cell is to have (``--input``), and those that it brings back (``--output``).

    Attributes
    ----------
    travel: whether they travel; else the workers see the notebook's folder
    folder: number of the notebook's folder in its file system
    inputs: each file, as a path without the slash at its beginning, with its bytes
    archive: those of them that travel together, see `tarred`; None if there are none
    large: the others
    fetched: names of files that HTCondor fetches by URL
    output: what comes back: paths of files and folders, or globs, relative to the notebook's folder
    folders: those that are there beside the notebook, and in which the cell may write it
    """

    travel: bool
    folder: int
    inputs: list[tuple[str, int]]
    archive: Path | None
    large: list[Large]
    fetched: list[str]
    output: list[str]
    folders: list[str]


@dataclass(frozen=True)
class Job:
    """What to run, and where.

    Attributes
    ----------
    source: the cell
    execution_count: the n of In[n]
    namespace: file of the names that the cell needs
    modules: archive of the modules that travelled, see `shipped`; None if there are none
    packages: the installed packages that the cell needs, and their versions there; empty if unknown
    key: file of the job's key
    directory: folder of the notebook
    environ: environment variables of the notebook's kernel
    sys_path: its import path
    python: its interpreter
    python_version: its major, minor and micro version
    inputs: what to take from the results of the jobs before this one, the first first
    mutates: names that it may change in place
    surely: names that it surely binds
    mapped: its map; None for a cell that runs once
    seed: what random numbers begin with; None for nothing in particular
    colors: IPython's colour scheme there
    files: what it has and brings back; None for neither
    """

    source: str
    execution_count: int
    namespace: Path
    modules: Path | None
    packages: dict[str, str]
    key: Path
    directory: Path
    environ: dict[str, str]
    sys_path: list[str]
    python: str
    python_version: tuple[int, ...]
    inputs: list[Input]
    mutates: list[str]
    surely: list[str]
    mapped: Mapped | None
    seed: int | None
    colors: str | None
    files: Files | None

    @staticmethod
    def read(path: Path) -> Job:
        """Read ``job.json``.

        Raises
        ------
        PayloadError: it isn't there, or isn't a job description.
        """
        try:
            described: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return Job(
                source=described["source"],
                execution_count=int(described["execution_count"]),
                namespace=_here(path, described["namespace"]),
                modules=_here(path, described["modules"]) if described["modules"] else None,
                packages=dict(described.get("packages", {})),
                key=_here(path, described["key"]),
                directory=Path(described["directory"]),
                environ=dict(described["environ"]),
                sys_path=list(described["sys_path"]),
                python=described["python"],
                python_version=tuple(described["python_version"]),
                inputs=[
                    Input(_here(path, one["file"]), list(one["names"]), dict(one["same"]))
                    for one in described["inputs"]
                ],
                mutates=list(described["mutates"]),
                surely=list(described["surely"]),
                mapped=_mapped(path, described.get("map")),
                seed=described.get("seed"),
                colors=described.get("colors"),
                files=_files(path, described.get("files")),
            )
        except OSError as error:
            raise PayloadError(
                f"The job description {path} can't be read: {error.strerror}. "
                "Check that the job's folder can be seen from the worker, then run the cell again."
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PayloadError(
                f"The job description {path} is damaged ({type(error).__name__}: {error}). "
                "Run the cell again."
            ) from error

    def take_key(self, task: int) -> str:
        """Read the job's key and delete its file, so that the cell can't read it.

        Where tasks share a folder, each has a copy of its own, ``<task>.key``.

        Raises
        ------
        PayloadError: it isn't there.
        """
        own = self.key.with_name(f"{task}.key")
        path = own if own.exists() else self.key
        try:
            key = path.read_text("ascii").strip()
            bytes.fromhex(key)
            path.unlink()
        except (OSError, ValueError) as error:
            raise PayloadError(
                f"The job's key {path} can't be used: {error}. "
                "Perhaps the batch system ran the job twice. Run the cell again."
            ) from error
        return key

    def check_python(self) -> None:
        """Refuse another Python than the notebook's: functions travel as bytecode.

        Raises
        ------
        PayloadError: major or minor version differ.
        """
        if tuple(self.python_version[:2]) != sys.version_info[:2]:
            notebook = "{}.{}".format(*self.python_version[:2])
            worker = "{}.{}".format(*sys.version_info[:2])
            raise PayloadError(
                f"The notebook runs Python {notebook}, and {sys.executable} on the worker is "
                f"Python {worker}: functions can't travel between them. Choose an interpreter of "
                f"version {notebook} with --python, --setup or --container, or run the notebook with "
                f"Python {worker}."
            )


def _mapped(job: Path, described: dict[str, Any] | None) -> Mapped | None:
    if described is None:
        return None
    return Mapped(
        names=list(described["names"]),
        items=_here(job, described["items"]),
        only=described.get("only"),
        chunks=[(int(start), int(stop)) for start, stop in described["chunks"]],
        budget=described["budget"],
        allow_failures=bool(described["allow_failures"]),
        surely=list(described["surely"]),
    )


def _files(job: Path, described: dict[str, Any] | None) -> Files | None:
    if described is None:
        return None
    return Files(
        travel=bool(described["travel"]),
        folder=int(described["folder"]),
        inputs=[(place, int(size)) for place, size, _ in described["inputs"]],
        archive=_here(job, described["archive"]) if described["archive"] else None,
        large=[Large(place, _here(job, file), int(size)) for place, file, size in described["large"]],
        fetched=[url.rpartition("/")[2] for url in described["urls"]],
        output=list(described["output"]),
        folders=list(described["folders"]),
    )


def _here(job: Path, path: str) -> Path:
    """A file beside the job description, as in a transferred sandbox; else the path as given."""
    beside = job.parent / Path(path).name
    return beside if beside.exists() else Path(path)
