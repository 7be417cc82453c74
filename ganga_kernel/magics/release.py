"""``%release``: let jobs go on that are on hold."""

from __future__ import annotations

from .base import ForJobs


class ReleaseMagic(ForJobs):
    """See `line_release`."""

    name = "release"

    def line_release(self) -> None:
        """%release N [N ...] - let jobs go on that HTCondor, or %hold, has put on hold.

        If it was for want of memory or the like, change that first: %job N --memory 4GB.

        Example:
            %release 12
        """

    async def run(self, line: str) -> None:
        """Release them, and say how much of each."""
        for number in self.parsed(line).jobs:
            self.kernel.Print(await self.notebook.any_job.act(number, "release"))
