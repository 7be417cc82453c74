"""What an interpreter says of itself, and which files make its environment."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..errors import BackendError

#: Run by the interpreter that is to be packed, of Python 3.8 or newer.
_PROBE = """
import json, os, site, sys, sysconfig
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "prefix": sys.prefix,
    "base_prefix": sys.base_prefix,
    "executable": os.path.realpath(sys._base_executable),
    "stdlib": sysconfig.get_path("stdlib"),
    "dynload": sysconfig.get_config_var("DESTSHARED"),
    "packages": os.path.relpath(site.getsitepackages(["/x"])[-1], "/x"),
}))
"""
_INSTALLED = ("site-packages", "dist-packages")
#: Of a standard library: what no cell needs.
_LEFT_OUT = {"test", "idlelib", "turtledemo", "ensurepip", *_INSTALLED}
_CACHE = "__pycache__"
#: Of conda's base environment: other environments, and what was downloaded.
_OTHERS = {"envs", "pkgs", "conda-bld"}
#: Of an environment's own folder: what is packed beside its packages.
_DATA = ("etc", "share")
#: To be changed when the same environment gives another pack.
_FORMAT = b"2"


@dataclass(frozen=True)
class Environment:
    """An interpreter and the packages that are installed for it.

    Attributes
    ----------
    version: of Python, as in "3.11"
    prefix, base_prefix: as in `sys`
    executable: of the interpreter itself, where a virtual environment has a link to it
    stdlib, dynload: its standard library, and the folder of those of its modules that are shared libraries
    packages: where an interpreter of its kind looks for packages, relative to its prefix
    installed: the folders that have packages, in the order in which they are looked up
    """

    version: str
    prefix: Path
    base_prefix: Path
    executable: Path
    stdlib: Path
    dynload: Path
    packages: str
    installed: tuple[Path, ...]

    @property
    def is_conda(self) -> bool:
        """Whether the interpreter is one of the environment's own packages."""
        return (self.prefix / "conda-meta").is_dir() and self.prefix == self.base_prefix


class Entry(NamedTuple):
    """A file of a pack.

    Attributes
    ----------
    name: in the pack
    path: here
    link: where a link leads that is packed as one, else empty
    size: bytes
    changed: time of the last change, nanoseconds
    """

    name: str
    path: str
    link: str
    size: int
    changed: int


def look(python: str, import_path: Iterable[str], environ: Mapping[str, str]) -> Environment:
    """The environment of an interpreter.

    Parameters
    ----------
    import_path: the notebook's `sys.path`
    environ: the notebook's environment variables

    Raises
    ------
    BackendError: the interpreter doesn't run.
    """
    try:
        done = subprocess.run(
            [python, "-c", _PROBE], env=dict(environ), capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", "") or str(error)
        raise BackendError(
            f"The notebook's Python, {python}, can't be packed, as it doesn't run: {why.strip()}.",
            "Leave --pack out, or mend the environment.",
        ) from error
    said = json.loads(done.stdout.splitlines()[-1])
    installed = dict.fromkeys(
        os.path.realpath(entry) for entry in import_path if os.path.basename(entry) in _INSTALLED
    )
    return Environment(
        said["version"],
        Path(said["prefix"]),
        Path(said["base_prefix"]),
        Path(said["executable"]),
        Path(said["stdlib"]),
        Path(said["dynload"]),
        said["packages"],
        tuple(path for path in map(Path, installed) if path.is_dir()),
    )


def entries(environment: Environment) -> list[Entry]:
    """All that is packed of an environment, but its shared libraries from elsewhere (`libraries`)."""
    if environment.is_conda:
        return list(_walk(environment.prefix, "", _OTHERS.__contains__))
    standard = os.path.relpath(environment.stdlib, environment.base_prefix)
    found = [_file(environment.executable, "bin/python")]
    found += _walk(environment.stdlib, standard, lambda name: name in _LEFT_OUT or name.startswith("config-"))
    if environment.stdlib not in environment.dynload.parents:
        found += _walk(environment.dynload, f"{standard}/lib-dynload")
    for number, folder in enumerate(environment.installed):
        found += _walk(folder, place(environment, number))
    if environment.prefix != environment.base_prefix:
        for name in _DATA:
            found += _walk(environment.prefix / name, name)
    return found


def place(environment: Environment, number: int) -> str:
    """The folder, in a pack, of one of the folders that have packages."""
    return environment.packages + (f"-{number}" if number else "")


def fingerprint(found: Iterable[Entry]) -> str:
    """A digest of which files there are, and when they were last changed; not of what is in them."""
    digest = hashlib.sha256(_FORMAT)
    for entry in sorted(found, key=lambda entry: entry.name):
        digest.update(f"{entry.name}\0{entry.link}\0{entry.size}\0{entry.changed}\n".encode(errors="replace"))
    return digest.hexdigest()[:32]


def _walk(folder: Path, name: str, leaves_out: Callable[[str], bool] = lambda _: False) -> Iterator[Entry]:
    """The files below a folder.

    Links to other files of their own folder stay links; others are followed, since what they lead to isn't on
    the worker. What can't be read is left out, as it is for the notebook.
    """
    first = (os.path.realpath(folder),)
    pending: list[tuple[str, str, tuple[str, ...]]] = [(str(folder), f"{name}/" if name else "", first)]
    while pending:
        here, above, parents = pending.pop()
        try:
            there = list(os.scandir(here))
        except OSError:
            continue
        for entry in there:
            if entry.name == _CACHE or (len(parents) == 1 and leaves_out(entry.name)):
                continue
            try:
                link = os.readlink(entry.path) if entry.is_symlink() else ""
                if link and os.sep not in link:
                    yield Entry(above + entry.name, entry.path, link, 0, 0)
                elif entry.is_dir():
                    real = os.path.realpath(entry.path) if link else f"{parents[-1]}/{entry.name}"
                    if real not in parents:  # else it leads back to where it is
                        pending.append((entry.path, f"{above}{entry.name}/", (*parents, real)))
                elif entry.is_file():
                    yield _file(entry, above + entry.name)
            except OSError:
                continue


def _file(path: Path | os.DirEntry[str], name: str) -> Entry:
    status = path.stat()
    return Entry(name, os.fspath(path), "", status.st_size, status.st_mtime_ns)
