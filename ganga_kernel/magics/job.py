"""``%job``: one job, with its buttons."""

from __future__ import annotations

from ..options import Options, Parser, add_options, chosen, count
from .base import GangaMagic


class JobMagic(GangaMagic):
    """See `line_job`."""

    name = "job"

    def line_job(self) -> None:
        """%job N [OPTIONS] - show a job: its panel, kept up to date here, and a button that kills it.

        The button works while a cell runs. The options change what a job asks for that waits in HTCondor's
        queue, or is on hold there.

        Examples:
            %job 3
            %job 3 --memory 4GB
        """

    def parser(self) -> Parser:
        """See `GangaMagic.parser`."""
        parser = super().parser()
        parser.add_argument("job", type=count, metavar="N", help="number of the job")
        add_options(parser, ("memory", "cpus", "gpus", "disk", "runtime"))
        return parser

    async def run(self, line: str) -> None:
        """Change it, if something is to be changed, and show it."""
        asked = self.parsed(line)
        changes = chosen(asked)
        if changes != Options():
            self.kernel.Print(await self.notebook.any_job.change(asked.job, changes))
        await self.notebook.show(asked.job, self.request)
