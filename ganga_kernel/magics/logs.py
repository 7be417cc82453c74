"""``%logs``: what is left of a job, and what it writes."""

from __future__ import annotations

from ..errors import OptionError
from ..options import Parser, job_and_task
from .base import GangaMagic

#: Options that name what is to be read, see `broker.reading.read`.
_KINDS = {
    "stdout": "what the cell wrote to standard output, and displayed as text",
    "stderr": "what the cell wrote to standard error, and its process outside of the cell",
    "events": "the event log that HTCondor keeps",
}


class LogsMagic(GangaMagic):
    """See `line_logs`."""

    name = "logs"

    def line_logs(self) -> None:
        """%logs N[.TASK] [-f] [--stdout] [--stderr] [--events] [--locals] - look into a job.

        It tells how each task is or ended, and the end of its backend's log; of one task, or of a job that
        has only one, also what the cell wrote last. --locals shows the local variables of the functions in
        which a cell failed, as short texts.

        -f shows all that a task has written, and goes on as it writes until it ends; interrupting the cell
        ends that, and the job goes on. --stdout, --stderr and --events show only that, all of it.

        Examples:
            %logs 3
            %logs 3 --locals
            %logs 3 -f
            %logs 3.12 -f --stderr
            %logs 3 --events
        """

    def parser(self) -> Parser:
        """See `GangaMagic.parser`."""
        parser = super().parser()
        parser.add_argument(
            "job", type=job_and_task, metavar="N[.TASK]", help="number of the job, and of a task"
        )
        parser.add_argument("-f", "--follow", action="store_true", help="go on while the task runs")
        for name, text in _KINDS.items():
            parser.add_argument(f"--{name}", action="append_const", dest="kinds", const=name, help=text)
        parser.add_argument("--locals", action="store_true", help="local variables of a failed cell")
        return parser

    async def run(self, line: str) -> None:
        """Print it."""
        asked = self.parsed(line)
        number, task = asked.job
        if not asked.follow and not asked.kinds:
            self.kernel.Print(await self.notebook.any_job.logs(number, task, asked.locals))
            return
        if asked.locals:
            raise OptionError(
                "%logs: --locals isn't for what a task writes.", f"Write %logs {number} --locals."
            )
        kinds, parent = asked.kinds or [*_KINDS], self.request.parent
        async for name, text in self.notebook.any_job.read(number, task, kinds, asked.follow):
            content = {"name": name, "text": text}
            self.kernel.publish("stream", content, parent)  # type: ignore[attr-defined]
