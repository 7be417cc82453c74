"""``%wait``: wait for jobs."""

from __future__ import annotations

from ..options import Parser, count
from .base import GangaMagic


class WaitMagic(GangaMagic):
    """See `line_wait`."""

    name = "wait"

    def line_wait(self) -> None:
        """%wait [N ...] - wait for some or all jobs of this notebook.

        Interrupting the cell ends the wait; the jobs go on. A job that was started elsewhere, or before
        the kernel was restarted, is shown under the cell.

        Examples:
            %wait
            %wait 3 4
        """

    def parser(self) -> Parser:
        """See `GangaMagic.parser`."""
        parser = super().parser()
        parser.add_argument("jobs", nargs="*", type=count, metavar="N", help="number of a job")
        return parser

    async def run(self, line: str) -> None:
        """Wait, and say how each job ended."""
        jobs = await self.notebook.wait(self.parsed(line).jobs, self.request)
        if not jobs:
            self.kernel.Print("No job of this notebook is under way.")
        for job in jobs:
            self.kernel.Print(f"Job {job['id']}: {job['state']}")
