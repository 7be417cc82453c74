"""Why the user's HTCondor jobs wait: asked seldom, of a process of its own, and told in the jobs' panels.

Nothing is asked while no job waits. A daemon that doesn't answer is no error: the jobs go on without a
sentence.
"""

from __future__ import annotations

import logging
import time

from .asking import ask
from .watching import Watching

log = logging.getLogger(__name__)

#: Seconds between two looks at which jobs wait.
LOOK = 1.0
#: Seconds for which a job waits before it is asked why: most have started by then.
_PATIENCE = 10.0
#: Jobs that are asked about at once, the oldest first.
_JOBS = 200


class Idling:
    """Finds out why jobs wait.

    Parameters
    ----------
    pause: seconds between two questions, at least; 0: never ask
    """

    def __init__(self, watching: Watching, pause: float) -> None:
        self._watching, self._pause = watching, pause
        self._patience = min(_PATIENCE, pause)
        self._asked = float("-inf")
        self._since: dict[str, float] = {}

    async def look(self) -> None:
        """Ask about all jobs that wait, if one has waited for some time and the last question is long ago."""
        now = time.monotonic()
        waiting = self._watching.waiting() if self._pause else {}
        self._since = {proc: self._since.get(proc, now) for proc in waiting}
        due = any(now - since >= self._patience for since in self._since.values())
        if due and now - self._asked >= self._pause:
            self._asked = now
            said = await why_idle(dict(list(waiting.items())[:_JOBS]))
            for proc, number in waiting.items():
                if number in said and self._watching.waiting().get(proc) == number:
                    self._watching.explain(number, said[number])


async def why_idle(procs: dict[str, int]) -> dict[int, str]:
    """A sentence for each job of which `ganga_kernel.condor.whyidle` could tell why it waits, by number."""
    try:
        said = await ask("whyidle", procs)
        return {int(number): sentence for number, sentence in said.items()}
    except (OSError, ValueError) as problem:  # no process, or no answer: the jobs go on all the same
        log.info("why jobs wait: %s", problem)
        return {}
