"""The name of a pack: ``pack-DIGEST-MACHINE-GLIBC-KB.tar.gz``. Pure.

All that has to be known of a pack before it is unpacked is in its name, so that the launcher on a worker, a
shell script, needs no other file.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_BEGIN, _END = "pack-", ".tar.gz"


class PackName(NamedTuple):
    """What a name says.

    Attributes
    ----------
    digest: of the environment, see `environment.fingerprint`
    machine: as ``uname -m`` says it
    glibc: the oldest that it runs with, as in "2.35"
    kilobytes: that it takes up once it is unpacked
    """

    digest: str
    machine: str
    glibc: str
    kilobytes: int

    def __str__(self) -> str:
        return f"{_BEGIN}{self.digest}-{self.machine}-{self.glibc}-{self.kilobytes}{_END}"


def parsed(name: str) -> PackName:
    """What a name says."""
    digest, machine, glibc, kilobytes = name.removeprefix(_BEGIN).removesuffix(_END).split("-")
    return PackName(digest, machine, glibc, int(kilobytes))


def existing(folder: Path, digest: str) -> Path | None:
    """The pack of an environment that is in a folder already; None if there is none."""
    return next(folder.glob(f"{_BEGIN}{digest}-*{_END}"), None)


def all_in(folder: Path) -> list[Path]:
    """The packs that are in a folder."""
    return list(folder.glob(f"{_BEGIN}*{_END}"))
