"""``%jobs``: the jobs of this user."""

from __future__ import annotations

from ..options import Parser, count
from .base import GangaMagic


class JobsMagic(GangaMagic):
    """See `line_jobs`."""

    name = "jobs"

    def line_jobs(self) -> None:
        """%jobs [-n N] - list your newest jobs, of all notebooks.

        Example:
            %jobs -n 50
        """

    def parser(self) -> Parser:
        """See `GangaMagic.parser`."""
        parser = super().parser()
        parser.add_argument("-n", "--limit", type=count, default=20, help="how many")
        return parser

    async def run(self, line: str) -> None:
        """Print the table."""
        self.kernel.Print(await self.notebook.any_job.table(self.parsed(line).limit))
