"""How a map becomes tasks: first by the slots that match, then by the time that items take."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from typing import Any

from .. import maps
from . import backends
from .asking import ask

log = logging.getLogger(__name__)

#: Tasks of a job at first, at most, however many slots there are: the pool takes some 35 ms for each.
_FIRST = 500
#: Seconds for which a number of slots counts.
_FRESH = 60.0


class Slots:
    """How many tasks the HTCondor pool can run side by side, as it was asked within the last minute."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, int]] = {}

    async def divide(self, job: dict[str, Any], most: int) -> dict[str, Any]:
        """A job's map with the chunks that it begins with: one for each slot that matches, `most` at most.

        Where nobody can tell the slots, or none matches yet, there are as many as seldom do harm.
        """
        slots = await self._matching(backends.asked_of_a_slot(job["resources"])) or _FIRST
        tasks = min(slots, _FIRST, most)
        if job["map"]["rehearse"]:
            return {**job["map"], "chunks": maps.rehearsed(job["map"], tasks)}
        return {**job["map"], "chunks": maps.chunks(maps.total(job["map"]), tasks, 1)}

    async def _matching(self, asked: dict[str, Any]) -> int:
        which, now = json.dumps(asked), time.monotonic()
        since, known = self._known.get(which, (float("-inf"), 0))
        if now - since < _FRESH:
            return known
        try:
            known = int(await ask("slots", asked))
        except (OSError, ValueError) as problem:
            log.info("how many slots match: %s", problem)
            return 0
        self._known[which] = now, known
        return known


def is_due(job: dict[str, Any]) -> bool:
    """Whether a map's items are yet to be divided among the slots that match."""
    described = job["map"]
    return bool(described) and described["budget"] is not None and len(described["chunks"]) == 1


def handed_on(chunk: Sequence[int], place: int, took: float, budget: float, room: int) -> list[list[int]]:
    """The chunks of what a task hands on: each takes about the budget if items take what they took. Pure.

    Parameters
    ----------
    chunk: the task's own until now
    place: the first that it hands on
    took: seconds from the task's start until it said so
    budget: seconds
    room: for how many more tasks there is room in the job
    """
    start, stop = chunk
    each = max(took, 1e-3) / (place - start)
    size = max(1, int(budget / each))
    return [[place + a, place + b] for a, b in maps.chunks(stop - place, max(1, room), size)]
