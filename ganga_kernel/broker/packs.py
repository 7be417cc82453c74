"""``--pack``: the notebook's environment is packed before a job is submitted, and sent along.

That is done by a process of its own (`ganga_kernel.packing`): it takes up to a minute of a core's time, and
ends with the broker.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .. import spool
from ..errors import BackendError
from ..packing import packname

#: Why a job waits meanwhile.
REASON = "Packing the environment."
#: How a pack is called that isn't made yet.
_UNKNOWN = "pack-….tar.gz"


class Packs:
    """Makes packs, one at a time.

    Parameters
    ----------
    root: the spool's folder
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._turn = asyncio.Lock()
        self._next: dict[str, asyncio.Future[Path]] = {}

    async def give(self, folder: Path) -> None:
        """Have the pack that a job needs made, if it isn't there, and note it in the job's folder.

        Jobs of the same environment that wait for their turn get the same pack.

        Raises
        ------
        BackendError: it can't be made.
        """
        described = await asyncio.to_thread(spool.description, folder)
        environment = json.dumps([described["python"], described["sys_path"]])
        if environment not in self._next:
            self._next[environment] = asyncio.ensure_future(self._in_turn(environment, folder))
        made = await asyncio.shield(self._next[environment])  # others wait for it, too
        await asyncio.to_thread(spool.set_pack, folder, made)

    async def _in_turn(self, environment: str, folder: Path) -> Path:
        async with self._turn:
            del self._next[environment]  # for who asks from now on, a package may have been installed
            objects = await asyncio.to_thread(lambda: spool.Spool(self._root).objects)
            return await _made(objects, folder / "job.json")


async def _made(objects: Path, description: Path) -> Path:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "ganga_kernel.packing", str(objects), str(description),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        said, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode:
        raise BackendError(f"The environment can't be packed: {errors.decode(errors='replace').strip()}")
    return Path(said.decode().strip())


def is_asked(job: dict[str, Any]) -> bool:
    """Whether a job gets a pack."""
    return bool(job["resources"].get("pack"))


def name(job: dict[str, Any]) -> str:
    """What the pack of a job is called."""
    made = spool.pack(Path(job["folder"]))
    return made.name if made else _UNKNOWN


def disk(job: dict[str, Any], sent: Iterable[Path]) -> int | None:
    """The bytes that a job needs which unpacks a pack; None if it gets none.

    Parameters
    ----------
    sent: the files that it gets
    """
    made = spool.pack(Path(job["folder"]))
    if made is None or not is_asked(job):
        return None
    return packname.parsed(made.name).kilobytes * 1024 + sum(path.stat().st_size for path in sent)
