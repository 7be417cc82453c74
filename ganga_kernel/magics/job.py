"""``%job``: one job, with its buttons."""

from __future__ import annotations

from ..options import Parser, count
from .base import GangaMagic


class JobMagic(GangaMagic):
    """See `line_job`."""

    name = "job"

    def line_job(self) -> None:
        """%job N - show a job: its panel, kept up to date here, and a button that kills it.

        The button works while a cell runs.

        Examples:
            %job 3
        """

    def parser(self) -> Parser:
        """See `GangaMagic.parser`."""
        parser = super().parser()
        parser.add_argument("job", type=count, metavar="N", help="number of the job")
        return parser

    async def run(self, line: str) -> None:
        """Show the job."""
        await self.notebook.show(self.parsed(line).job, self.request)
