"""What the notebook keeps of each job whose names are pending, by the job's token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

from .placeholders import Pending


@dataclass
class Awaited:
    """A job that is to deliver.

    Attributes
    ----------
    names: those that it was to bind or change
    sent: what it was sent, as objects by name: its result may refer to them; nothing once it has delivered
    placed: its placeholders, by name; none once it has delivered
    number: the In[n] of its cell
    was: the In[n] that the cell had when the job was submitted
    is_map: whether the cell runs once for each item; its names become lists, which only the notebook makes
    merges: functions that merge the values of names, of a map
    """

    names: frozenset[str]
    sent: dict[str, Any]
    placed: dict[str, Pending]
    number: int
    was: int
    is_map: bool
    merges: dict[str, Callable[[Any, Any], Any]] = field(default_factory=dict)


#: What is known of each job whose names were made pending, by its token.
jobs: dict[str, Awaited] = {}


def of(token: str) -> Awaited:
    """What is known of a job; nothing if a kernel that has ended submitted it."""
    return jobs.get(token, Awaited(frozenset(), {}, {}, 0, 0, False))


def maps() -> set[str]:
    """The tokens of those that are maps."""
    return {token for token, job in jobs.items() if job.is_map}
