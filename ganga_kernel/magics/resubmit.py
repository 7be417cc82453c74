"""``%resubmit``: run a job once more, or what failed of it."""

from __future__ import annotations

from ..failures import Failure
from ..options import RESOURCES, Parser, add_options, chosen, count
from .base import GangaMagic


class ResubmitMagic(GangaMagic):
    """See `line_resubmit`."""

    name = "resubmit"

    def line_resubmit(self) -> None:
        """%resubmit N [--failed] [OPTIONS] - run a job once more that didn't end well.

        Another job does what job N was to do, with the code and the values that N was submitted with. With
        --failed it runs only the items of a map that failed, also while others run, and delivers them with
        those that ended well.
        Names that N was to bind wait for it. What the job asks of its backend can be changed.

        Examples:
            %resubmit 12 --failed
            %resubmit 12 --memory 4GB
        """

    def parser(self) -> Parser:
        """See `GangaMagic.parser`."""
        parser = super().parser()
        parser.add_argument("job", type=count, metavar="N", help="number of the job")
        parser.add_argument("--failed", action="store_true", help="only the items of a map that failed")
        add_options(parser, [*RESOURCES, "wait"])
        return parser

    async def run(self, line: str) -> Failure | None:
        """Submit it once more."""
        asked = self.parsed(line)
        return await self.notebook.resubmit(asked.job, asked.failed, chosen(asked), self.request)

    def get_help(self, mtype: str, name: str, level: int = 0) -> str:
        """The help, with the list of options."""
        return f"{super().get_help(mtype, name, level)}\n\n{self.parser().format_help()}"
