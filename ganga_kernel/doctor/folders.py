"""Folders: can they be written, do locks work there, and what kind of file system are they on?"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout

from ..broker import lease
from ..errors import GangaKernelError
from ..filesystems import AFS_FILES, kind_of
from ..folders import runtime_folder
from ..options import spell_size
from ..settings import CONFIG_FILE, GangaKernel
from .finding import FAILURE, NOTE, OK, WARNING, Finding

_AREA = "Folders"
#: Free bytes below which a folder is nearly full.
_LITTLE = 1 << 30
#: Kinds of file systems that daemons and locks have trouble with, and what is known of each.
_TROUBLE = {
    "afs": f"AFS: a folder there holds some {AFS_FILES:,} files, and is lost when the login's token ends",
    "eos": "EOS: HTCondor's schedd can't write there, and file locks don't work",
}


def look(settings: GangaKernel) -> list[Finding]:
    """What is to be said of the folders of state, spool, Ganga and sockets, and who owns the state."""
    found = [
        _folder("State", settings.state, "state_dir", locks=True),
        _folder("Spool", settings.spool, "spool_dir"),
        _folder("Ganga's folder", settings.ganga, "gangadir", locks=True),
    ]
    try:
        found.append(Finding(_AREA, OK, f"Sockets in {runtime_folder()}."))
    except GangaKernelError as error:
        found.append(Finding(_AREA, FAILURE, error.message, error.remedy))
    return [*found, _owner(settings.state)]


def _folder(what: str, path: Path, setting: str, locks: bool = False) -> Finding:
    """Look at a folder, or at the one in which it would be made."""
    here = next(folder for folder in (path, *path.parents) if folder.exists())
    kind = kind_of(here)
    free = shutil.disk_usage(here).free
    said = f"{what}: {path} ({kind}, {spell_size(free)} free)"
    remedy = f"Set c.GangaKernel.{setting} in {CONFIG_FILE} to another folder."
    if not os.access(here, os.W_OK | os.X_OK):
        why = "can't be written" if here == path else f"can't be made: {here} can't be written"
        return Finding(_AREA, FAILURE, f"{said} {why}.", remedy)
    if kind in _TROUBLE:
        return Finding(_AREA, FAILURE if locks else WARNING, f"{said} is on {_TROUBLE[kind]}.", remedy)
    if locks and (problem := _no_locks(here)):
        return Finding(_AREA, FAILURE, f"{said} has no file locks: {problem}.", remedy)
    if free < _LITTLE:
        return Finding(_AREA, WARNING, f"{said} is nearly full.", f"Make space, or: {remedy}")
    return Finding(_AREA, OK, f"{said}.")


def _no_locks(folder: Path) -> str:
    """Why file locks don't work in a folder; empty if they do."""
    try:
        with tempfile.TemporaryDirectory(dir=folder) as scratch, FileLock(Path(scratch, "lock"), timeout=5):
            return ""
    except (OSError, NotImplementedError, Timeout) as error:
        return str(error)


def _owner(state: Path) -> Finding:
    """Who owns the state folder."""
    try:
        owner = lease.owner(state)
    except OSError as error:
        return Finding(_AREA, WARNING, f"Which broker owns the state folder can't be read: {error}.")
    if not owner:
        return Finding(_AREA, NOTE, "No broker is running; the next kernel starts one.")
    age = time.time() - float(owner.get("heartbeat", 0))
    who = f"The broker on {owner['host']}, process {owner['pid']},"
    if age > lease.ABANDONED:
        return Finding(_AREA, NOTE, f"{who} has ended without a word; the next kernel starts another.")
    if lease.is_elsewhere(owner):
        return Finding(
            _AREA, WARNING, f"{who} owns the state folder; it hands it over once nobody is connected to it.",
            f"Close the notebooks on {owner['host']}, or set another GangaKernel.state_dir for this host.",
        )  # fmt: skip
    return Finding(_AREA, OK, f"{who} is running.")
