"""``%kill``: end jobs, or tasks of them."""

from __future__ import annotations

from ..options import Parser, job_and_task
from ..states import ended
from .base import GangaMagic


class KillMagic(GangaMagic):
    """See `line_kill`."""

    name = "kill"

    def line_kill(self) -> None:
        """%kill N[.TASK] [N[.TASK] ...] - end jobs, or tasks of maps, whichever notebook they are from.

        Of a map of which a task was killed the others go on, and %resubmit N --failed runs its items again.

        Examples:
            %kill 12
            %kill 13.0 13.7
        """

    def parser(self) -> Parser:
        """See `GangaMagic.parser`."""
        parser = super().parser()
        parser.add_argument(
            "jobs", nargs="+", type=job_and_task, metavar="N[.TASK]", help="number of a job, and of a task"
        )
        return parser

    async def run(self, line: str) -> None:
        """Kill, and say what became of each."""
        for number, task in self.parsed(line).jobs:
            job = await self.notebook.kill(number, task)
            name = f"Job {number}" if task is None else f"Task {number}.{task}"
            self.kernel.Print(f"{name}: {job['state'] if ended(job['state']) else 'is being killed'}")
