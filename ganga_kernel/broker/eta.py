"""When something will be done, by what was done until now and how long that took. Pure.

Times are unix seconds of the worker's clock. Where the pace isn't known yet there is no estimate: a wrong one
is worse than none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

#: Seconds that something must have been counted for, for its pace to tell anything.
_LEAST = 2.0
#: Seconds in which nothing is foreseen any more: some three years.
_MOST = 1e8


def counted(before: Mapping[str, Any] | None, done: float, total: float | None, at: float) -> dict[str, Any]:
    """A count that goes on, as a task's row keeps it; one that fell, or has another total, is a new one.

    Parameters
    ----------
    before: the count until now; None if there is none
    done, total: what the cell says now; the total is None if nobody knows it
    at: when it said so

    Returns
    -------
    ``done``, ``total`` and ``at``; ``first`` and ``begun``: what was done when this count began, and when
    that was.
    """
    goes_on = before is not None and before["total"] == total and before["done"] <= done
    begun = {key: before[key] for key in ("first", "begun")} if before and goes_on else {}
    return {"first": done, "begun": at, **begun, "done": done, "total": total, "at": at}


def of_count(count: Mapping[str, Any]) -> float | None:
    """When a count will reach its total; None if that isn't known, or it has reached it.

    What was done before it was first told doesn't count for the pace, as it took nobody knows how long.
    """
    gone, lasted = count["done"] - count["first"], count["at"] - count["begun"]
    if count["total"] is None or gone <= 0 or lasted < _LEAST or count["done"] >= count["total"]:
        return None
    return _in(lasted * ((count["total"] - count["done"]) / gone), count["at"])


class Part(NamedTuple):
    """A task of a map, which runs its items one after the other.

    Attributes
    ----------
    ended: its items that have ended
    left: those that have not; 0 of a task that has ended
    begun: when it started
    at: when the last of its items ended, or when it started
    """

    ended: int
    left: int
    begun: float
    at: float


def of_items(parts: Iterable[Part], waiting: Iterable[int] = ()) -> float | None:
    """When the items of a map will be done, if as many tasks run side by side as now.

    None until as many items have ended as tasks run: the first to end are the short ones.

    Parameters
    ----------
    parts: the tasks that have started
    waiting: numbers of items of those that have not
    """
    parts, waiting = list(parts), list(waiting)
    running = [part for part in parts if part.left]
    ended = sum(part.ended for part in parts)
    if not running or ended < len(running):
        return None
    at = max(part.at for part in parts)
    if at - min(part.begun for part in parts) < _LEAST:
        return None
    each = sum(max(0.0, part.at - part.begun) for part in parts) / ended
    rest = [each * part.left - min(each, at - part.at) for part in running]
    together = (sum(rest) + each * sum(waiting)) / len(running)
    return _in(max(together, *rest, each * max(waiting, default=0)), at)


def _in(seconds: float, at: float) -> float | None:
    return at + seconds if seconds < _MOST else None
