"""``%hold``: keep jobs from running."""

from __future__ import annotations

from .base import ForJobs


class HoldMagic(ForJobs):
    """See `line_hold`."""

    name = "hold"

    def line_hold(self) -> None:
        """%hold N [N ...] - put jobs on hold in HTCondor's queue; what runs of them is ended.

        %release lets them go on, from the beginning.

        Example:
            %hold 12
        """

    async def run(self, line: str) -> None:
        """Hold them, and say how much of each."""
        for number in self.parsed(line).jobs:
            self.kernel.Print(await self.notebook.any_job.act(number, "hold"))
