"""``%hold``: keep jobs from running."""

from __future__ import annotations

from ..options import Parser, count
from .base import GangaMagic


class HoldMagic(GangaMagic):
    """See `line_hold`."""

    name = "hold"

    def line_hold(self) -> None:
        """%hold N [N ...] - put jobs on hold in HTCondor's queue; what runs of them is ended.

        %release lets them go on, from the beginning.

        Example:
            %hold 12
        """

    def parser(self) -> Parser:
        """See `GangaMagic.parser`."""
        parser = super().parser()
        parser.add_argument("jobs", nargs="+", type=count, metavar="N", help="number of a job")
        return parser

    async def run(self, line: str) -> None:
        """Hold them, and say how much of each."""
        for number in self.parsed(line).jobs:
            self.kernel.Print(await self.notebook.act(number, "hold"))
