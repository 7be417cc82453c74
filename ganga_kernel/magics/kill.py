"""``%kill``: end jobs."""

from __future__ import annotations

from ..states import ended
from .base import ForJobs


class KillMagic(ForJobs):
    """See `line_kill`."""

    name = "kill"

    def line_kill(self) -> None:
        """%kill N [N ...] - end jobs, whichever notebook they are from.

        Example:
            %kill 12
        """

    async def run(self, line: str) -> None:
        """Kill, and say what became of each job."""
        for job in await self.notebook.kill(self.parsed(line).jobs):
            state = job["state"] if ended(job["state"]) else "is being killed"
            self.kernel.Print(f"Job {job['id']}: {state}")
