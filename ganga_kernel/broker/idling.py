"""Why the user's HTCondor jobs wait: asked seldom, of a process of its own, and told in the jobs' panels.

Nothing is asked while no job waits. A daemon that doesn't answer is no error: the jobs go on without a
sentence.
"""

from __future__ import annotations

import asyncio
import logging
import time

from ..condor.schedd import Where
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
        self._since: dict[tuple[Where, str], float] = {}

    async def look(self) -> None:
        """Ask about all jobs that wait, if one has waited for some time and the last question is long ago."""
        now = time.monotonic()
        waiting = self._watching.waiting() if self._pause else {}
        self._since = {one: self._since.get(one, now) for one in waiting}
        due = any(now - since >= self._patience for since in self._since.values())
        if due and now - self._asked >= self._pause:
            self._asked = now
            asked: dict[Where, dict[str, int]] = {}
            for (where, proc), number in list(waiting.items())[:_JOBS]:
                asked.setdefault(where, {})[proc] = number
            answers = await asyncio.gather(*(why_idle(procs, where) for where, procs in asked.items()))
            said = {number: sentence for answer in answers for number, sentence in answer.items()}
            for one, number in waiting.items():
                if number in said and self._watching.waiting().get(one) == number:
                    self._watching.explain(number, said[number])


async def why_idle(procs: dict[str, int], where: Where) -> dict[int, str]:
    """A sentence for each job of a schedd that waits, by number, as far as `condor.whyidle` could tell."""
    try:
        said = await ask("whyidle", {"schedd": where[0], "pool": where[1], "procs": procs})
        return {int(number): sentence for number, sentence in said.items()}
    except (OSError, ValueError) as problem:  # no process, or no answer: the jobs go on all the same
        log.info("why jobs wait: %s", problem)
        return {}
