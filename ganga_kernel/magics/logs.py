"""``%logs``: what is left of a job."""

from __future__ import annotations

from ..options import Parser, count
from .base import GangaMagic


class LogsMagic(GangaMagic):
    """See `line_logs`."""

    name = "logs"

    def line_logs(self) -> None:
        """%logs N [--locals] - look into a job: how each task ended, and its backend's log.

        --locals shows the local variables of the functions in which a cell failed, as short texts.

        Examples:
            %logs 3
            %logs 3 --locals
        """

    def parser(self) -> Parser:
        """See `GangaMagic.parser`."""
        parser = super().parser()
        parser.add_argument("job", type=count, metavar="N", help="number of the job")
        parser.add_argument("--locals", action="store_true", help="local variables of a failed cell")
        return parser

    async def run(self, line: str) -> None:
        """Print it."""
        asked = self.parsed(line)
        self.kernel.Print(await self.notebook.logs(asked.job, asked.locals))
