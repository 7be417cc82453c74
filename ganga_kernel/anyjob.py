"""What magics do with a job by its number, whichever notebook it is from: the broker knows them all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from . import logs, panel
from .options import Options

_T = TypeVar("_T")

#: Seconds between two looks at what a task writes, while it is followed.
_LOOK = 0.25


class Wait(Protocol):
    """Waits for something of a job's, by the job's number; an interrupt ends that with `Interrupted`."""

    async def __call__(self, awaited: Coroutine[Any, Any, _T], number: int) -> _T:
        """What was waited for."""


class AnyJob:
    """The jobs of this user.

    Every method raises `BackendError` if there is no such job or task, or its backend can't do what is asked.

    Parameters
    ----------
    ask: asks the broker
    wait: see `Wait`
    """

    def __init__(self, ask: Callable[..., Awaitable[Any]], wait: Wait) -> None:
        self._ask, self._wait = ask, wait

    async def table(self, limit: int) -> str:
        """A table of the newest jobs."""
        return panel.table(await self._ask("jobs", limit=limit), time.time())

    async def logs(self, number: int, task: int | None, with_locals: bool) -> str:
        """What is left of a job, or of one of its tasks."""
        return logs.as_text(await self._ask("logs", job=number, task=task), with_locals)

    async def read(
        self, number: int, task: int | None, what: list[str], follow: bool
    ) -> AsyncIterator[tuple[str, str]]:
        """What a job's task has written, as pairs of "stdout" or "stderr" and a text.

        Parameters
        ----------
        task: None for the only one
        what: what is to be shown, see `broker.reading.read`
        follow: whether to go on until the task has ended, and to say how it ended

        Raises
        ------
        Interrupted: the user has seen enough; the job goes on.
        """
        reader = logs.Reader(number, task)
        while True:
            asked = {"job": number, "task": task, "what": what, "after": reader.after}
            found = await self._wait(self._read(asked), number)
            is_all = not found["more"] and (found["over"] or not follow)
            for one in reader.texts(found, is_all and follow):
                yield one
            if is_all:
                return
            if not found["more"]:
                await self._wait(asyncio.sleep(_LOOK), number)

    async def _read(self, asked: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await self._ask("read", **asked)
        return found

    async def act(self, number: int, action: str) -> str:
        """Hold or release a job; returns a sentence."""
        changed = await self._ask("act", job=number, action=action)
        done = {"hold": "put on hold", "release": "released"}[action]
        if not changed:
            return f"Job {number}: there is nothing to {action}."
        return f"Job {number}: {done}" + (f" ({changed} tasks)" if changed > 1 else "")

    async def change(self, number: int, chosen: Options) -> str:
        """Ask for other resources for a job in the queue; returns a sentence."""
        resources = chosen.resources()
        await self._ask("change", job=number, resources=resources)
        asked = Options(**resources).describe()
        return f"Job {number}: {asked} from its next start on. If it is on hold, %release {number} starts it."
