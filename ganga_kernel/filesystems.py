"""Kinds of file systems, as far as HTCondor's daemons and locks have trouble with some."""

from __future__ import annotations

from pathlib import Path

import psutil

#: What a folder on AFS holds at most, of files whose names are as short as ours.
AFS_FILES = 16_000
#: Kinds that other machines don't see, unless this one exports them.
OF_ONE_MACHINE = {"btrfs", "ext2", "ext3", "ext4", "overlay", "tmpfs", "xfs", "zfs"}


def kind_of(path: Path) -> str:
    """The kind of file system that a folder is on: ext4, nfs4, afs, eos, …; "unknown" if the system doesn't
    tell."""
    real = path.resolve()
    mounted = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    kind = next((mounted[folder] for folder in (real, *real.parents) if folder in mounted), "unknown")
    if "eos" in kind or real.is_relative_to("/eos"):
        return "eos"
    return "afs" if "afs" in kind or real.is_relative_to("/afs") else kind
