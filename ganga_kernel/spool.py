"""The spool: the files that travel to and from jobs. One folder a job, mode 0700.

``jobs/<token>/``
    ``job.json``       what to run, and where; read by the payload
    ``secret``         the job's key, for the notebook
    ``key``            the sandbox's copy of it; the payload deletes it before the cell runs
    ``<task>.key``     the same for one of several tasks, which may share the folder
    ``<task>.events``  what the payload reports, one JSON event a line
    ``<task>.stderr``  what was said before the payload could report
    ``<task>.result``  the names that the cell bound; empty if there are none
    ``<token>.result`` the result of another job, whose names the cell reads
    ``<task>.files``   the files that it wrote, if it is to bring back some; empty at first
``placed/``
    for each file that a job brought beside a notebook how it was then, see `outputfiles`
``objects/``
    content-addressed files: namespaces and items of maps (``<sha256>.pkl``), large buffers of namespaces
    (``<digest>-<size>.buf``, see `payload.buffers`), modules of the user's own (``<sha256>.zip``), the
    payload (``<sha256>.pyz``), files that cells are to have (``<digest>.tar``, and links to large ones,
    ``<digest>.link``; see `inputfiles`), and packed environments (``pack-….tar.gz``, see `packing.packname`)
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from .condor.launcher import launcher
from .errors import BackendError
from .folders import private_folder
from .payload import archive


class Spool:
    """A spool folder.

    Raises
    ------
    SettingsError: it can't be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = private_folder(root)
        self.objects = private_folder(root / "objects")
        self._jobs = private_folder(root / "jobs")

    def payload(self) -> Path:
        """The payload's archive; it is built if it isn't there."""
        return archive.build(self.objects)

    def launcher(self) -> Path:
        """The script that starts the payload on a worker of HTCondor's; it is made if it isn't there."""
        text = launcher()
        path = self.objects / f"launch-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        if not path.exists():
            _write(path, text)
        return path

    def copy_job(self, folder: Path, token: str, described: dict[str, Any] | None) -> Path:
        """Make the folder of a job that does once more what that of another folder did.

        Parameters
        ----------
        described: its map; None if it has none

        Raises
        ------
        BackendError: the other folder isn't whole any more.
        """
        try:
            before = description(folder)
        except (OSError, ValueError) as error:
            raise BackendError(
                f"The description of the job in {folder} can't be read: {error}.", "Run the job's cell again."
            ) from error
        own = ("version", "token", "key", "inputs", "pack")
        same = {name: value for name, value in before.items() if name not in own}
        return self.new_job(token, {**same, "map": described})

    def new_job(self, token: str, description: dict[str, Any]) -> Path:
        """Make a job's folder with its description and key, and return it."""
        folder = private_folder(self._jobs / token)
        secret = secrets.token_hex(32)
        for name in ("secret", "key"):
            _write(folder / name, secret)
        whole = {
            "version": 1, "token": token, "key": str(folder / "key"), "inputs": [], **description,
        }  # fmt: skip
        _write(folder / "job.json", json.dumps(whole))
        return folder


def secret(folder: Path) -> str:
    """The key of the job in `folder`, in hexadecimal."""
    return (folder / "secret").read_text()


def size(folder: Path, name: str) -> int:
    """Bytes of a file of the job in `folder`, 0 while it isn't there."""
    try:
        return (folder / name).stat().st_size
    except OSError:  # also a stale handle of a network file system: the next look tells
        return 0


def keep(folder: Path, name: str, kept: str) -> None:
    """Give a file of the job in `folder` another name as well; a copy where links can't be made.

    Raises
    ------
    OSError: the file isn't there, or the disk has no space left for the name.
    """
    (folder / kept).unlink(missing_ok=True)
    try:
        os.link(folder / name, folder / kept)
    except OSError:
        shutil.copyfile(folder / name, folder / kept)


def remove(folder: Path) -> None:
    """Remove the folder of a job that was not submitted, as far as the disk allows."""
    shutil.rmtree(folder, ignore_errors=True)


def execution_count(folder: Path) -> int:
    """The In[n] that the cell had when it submitted the job in `folder`."""
    return int(description(folder)["execution_count"])


def description(folder: Path) -> dict[str, Any]:
    """What the job in `folder` is to run."""
    described: dict[str, Any] = json.loads((folder / "job.json").read_text())
    return described


def add_inputs(folder: Path, inputs: list[dict[str, Any]]) -> None:
    """Tell a job's payload which results of other jobs to load, the first first.

    Parameters
    ----------
    inputs: ``{"file": path, "names": […], "same": {…}}``; see `ganga_kernel.payload.job.Input`
    """
    _write(folder / "job.json", json.dumps({**description(folder), "inputs": inputs}))


def set_chunks(folder: Path, chunks: list[list[int]]) -> None:
    """Tell a job's payload which items of its map each task runs; one that has started knows it already."""
    described = description(folder)
    _write(folder / "job.json", json.dumps({**described, "map": {**described["map"], "chunks": chunks}}))


def set_pack(folder: Path, pack: Path) -> None:
    """Tell which pack of the notebook's environment a job gets; see `ganga_kernel.packing`."""
    _write(folder / "job.json", json.dumps({**description(folder), "pack": str(pack)}))


def pack(folder: Path) -> Path | None:
    """The pack that a job gets; None if it gets none, or isn't that far."""
    found = description(folder).get("pack")
    return Path(found) if found else None


def renew_key(folder: Path, tasks: int) -> None:
    """Put the copies of the key back: a payload that started has deleted its own.

    Parameters
    ----------
    tasks: how many share the folder
    """
    names = ["key"] if tasks == 1 else [f"{task}.key" for task in range(tasks)]
    for name in names:
        _write(folder / name, secret(folder))


def _write(path: Path, text: str) -> None:
    """Write a file as a whole: who reads it meanwhile, in another process, finds the old one."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    new.replace(path)
