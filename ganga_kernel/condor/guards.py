"""What would fail only after it was submitted is refused before: a site's limits, the spool's disk. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ganga_kernel.errors import SubmitRefused
from ganga_kernel.filesystems import AFS_FILES, OF_ONE_MACHINE
from ganga_kernel.options import spell_size

#: Files that a task leaves in its job's folder at most.
_FILES = 4
_ELSEWHERE = "Set c.GangaKernel.spool_dir in ganga_kernel_config.py to a folder that is not on {}."


def check(allowed: Mapping[str, Any], kind: str, tasks: int, sent: int, spooled: bool = False) -> None:
    """See that nothing is known to be in a job's way.

    Parameters
    ----------
    allowed: what `Site.known` says
    kind: of file system that the spool is on, see `filesystems.kind_of`
    tasks: how many the job has; 1 if that isn't known yet
    sent: bytes of the files that each task gets
    spooled: the files are sent to the schedd, so that it needn't see the spool

    Raises
    ------
    SubmitRefused: something is.
    """
    if kind == "eos" and not spooled:
        raise SubmitRefused(
            "The spool is on EOS, where HTCondor's schedd can't write: no output would come.",
            _ELSEWHERE.format("EOS"),
        )
    if tasks > most_tasks(kind, tasks):
        raise SubmitRefused(
            f"The job has {tasks:,} tasks, whose files are more than the {AFS_FILES:,} or so that a folder "
            "on AFS holds.",
            f"Put more items into a task with --chunk, or: {_ELSEWHERE.format('AFS')}",
        )
    at_once = allowed.get("spooled_tasks")
    if spooled and at_once is not None and tasks > at_once:
        raise SubmitRefused(
            f"The job has {tasks:,} tasks, and the site allows {at_once:,} of one whose files are spooled.",
            "Put more items into a task with --chunk, or use a schedd that sees the files, without --spool.",
        )
    most = allowed.get("transfer")
    if most is not None and sent > most:
        raise SubmitRefused(
            f"Each task would be sent {spell_size(sent, ' ')} of files, and the site allows "
            f"{spell_size(most, ' ')}.",
            "Have the cell read large data from where workers see them. %%batch --dry-run lists the files.",
        )


def check_shared(schedd: str, kind: str, elsewhere: bool) -> None:
    """See that a schedd can read and write a job's folder.

    Parameters
    ----------
    schedd: its name
    kind: of file system that the spool is on, see `filesystems.kind_of`
    elsewhere: whether the schedd is known to be on another machine

    Raises
    ------
    SubmitRefused: it can't, as far as can be told here. The job would be put on hold, and no log written.
    """
    if elsewhere and kind in OF_ONE_MACHINE:
        raise SubmitRefused(
            f"The schedd {schedd} is on another machine, and the spool on this one's own disk ({kind}), "
            "which it doesn't see.",
            "Have the files sent to it with --spool, or set c.GangaKernel.spool_dir in "
            "ganga_kernel_config.py to a folder that both see.",
        )


def check_queue(allowed: Mapping[str, Any], mine: int, tasks: int) -> None:
    """See that there is room for a job in the queue of a schedd to which its files are spooled.

    Parameters
    ----------
    allowed: what `Site.known` says
    mine: how many jobs the user has in that queue
    tasks: how many more there are to be

    Raises
    ------
    SubmitRefused: there isn't.
    """
    most = allowed.get("spooled_queue")
    if most is not None and mine + tasks > most:
        raise SubmitRefused(
            f"You have {mine:,} jobs in the schedd's queue, this one has {tasks:,} tasks, and the site "
            f"allows {most:,} there.",
            "Wait until some have ended (condor_q lists them), or put more items into a task with --chunk.",
        )


def most_tasks(kind: str, most: int, of_site: int | None = None) -> int:
    """How many tasks a job may have, of `most`, with a spool on such a file system and at such a site."""
    return min(most, AFS_FILES // _FILES if kind == "afs" else most, most if of_site is None else of_site)
