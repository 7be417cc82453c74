"""Folders that belong to one user only. Imports little: the kernel's start waits for it."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from .errors import SettingsError

#: The longest folder, in characters, that leaves room for the names of sockets.
_LONGEST = 50


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter (mode 0700), and return it.

    Raises
    ------
    SettingsError: it can't be made, or belongs to somebody else.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()  # not of what a stranger's link points to
        if (
            found.st_uid == os.getuid()
            and stat.S_ISDIR(found.st_mode)
            and stat.S_IMODE(found.st_mode) != 0o700
        ):
            path.chmod(0o700)
    except OSError as error:
        raise SettingsError(
            f"The folder {path} can't be made: {error.strerror or error}.",
            "Make it writable, or set another one in ganga_kernel_config.py.",
        ) from error
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        raise SettingsError(f"{path} is a link, or belongs to another user.", "Set another folder.")
    if not os.access(path, os.W_OK | os.X_OK):
        raise SettingsError(
            f"The folder {path} is not writable.",
            "Make it writable, or set another one in ganga_kernel_config.py.",
        )
    return path


def runtime_folder() -> Path:
    """Where sockets live: local, private and short, as an ipc path is limited to 107 bytes.

    In ``$XDG_RUNTIME_DIR``, else in the temporary folder. Not below the home folder, which may be on AFS or
    EOS, where sockets don't work.
    """
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    if 0 < len(own) <= _LONGEST:
        with contextlib.suppress(SettingsError):
            return private_folder(Path(own) / "ganga-kernel")
    import tempfile

    temporary = tempfile.gettempdir()
    return private_folder(
        Path(temporary if len(temporary) <= _LONGEST else "/tmp") / f"ganga-kernel-{os.getuid()}"
    )


def sweep(folder: Path) -> None:
    """Remove the folders ``kernel-<pid>`` below `folder` whose process is gone: it was killed."""
    import shutil  # takes a while to load, and a kernel's start isn't to wait for it

    for path in folder.glob("kernel-*"):
        pid = path.name.partition("-")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(path, ignore_errors=True)
