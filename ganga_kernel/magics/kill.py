"""``%kill``: end jobs."""

from __future__ import annotations

from ..options import Parser, count
from ..states import ended
from .base import GangaMagic


class KillMagic(GangaMagic):
    """See `line_kill`."""

    name = "kill"

    def line_kill(self) -> None:
        """%kill N [N ...] - end jobs, whichever notebook they are from.

        Example:
            %kill 12
        """

    def parser(self) -> Parser:
        """See `GangaMagic.parser`."""
        parser = super().parser()
        parser.add_argument("jobs", nargs="+", type=count, metavar="N", help="number of a job")
        return parser

    async def run(self, line: str) -> None:
        """Kill, and say what became of each job."""
        for job in await self.notebook.kill(self.parsed(line).jobs):
            state = job["state"] if ended(job["state"]) else "is being killed"
            self.kernel.Print(f"Job {job['id']}: {state}")
