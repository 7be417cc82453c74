"""What the notebook keeps of each job whose names are pending, by the job's token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from ..payload import parts as numbered
from ..payload.pickling import GONE
from . import placeholders


@dataclass
class Awaited:
    """A job that is to deliver.

    Attributes
    ----------
    names: those that it was to bind or change
    sent: what it was sent, by name, a placeholder if another job was to bring it; nothing once it has
        delivered
    parts: the parts of what it was sent, by name, as they were then: its result may refer to them
    placed: its placeholders, by name; none once it has delivered
    source: its cell, as Python; empty once it has delivered
    number: the In[n] of its cell
    was: the In[n] that the cell had when the job was submitted
    is_map: whether the cell runs once for each item; its names become lists, which only the notebook makes
    merges: functions that merge the values of names, of a map
    """

    names: frozenset[str]
    sent: dict[str, Any]
    placed: dict[str, placeholders.Pending]
    number: int
    was: int
    is_map: bool
    source: str
    parts: dict[str, list[Any]] = field(default_factory=dict)
    merges: dict[str, Callable[[Any, Any], Any]] = field(default_factory=dict)

    def look(self) -> None:
        """Note the parts of what is here by now. Nothing has changed it since, as its names were pending."""
        for name, value in self.sent.items():
            if name not in self.parts:
                here = placeholders.became(value)
                if type(here) is not placeholders.Pending and here is not placeholders.UNBOUND:
                    self.parts[name] = numbered.parts(here)

    def arrived(self, token: str, values: Mapping[str, Any]) -> None:
        """Another job has left these values, or what was there before: some for names that are bound anew."""
        for name, value in self.sent.items():
            if type(value) is placeholders.Pending and value._ganga_token == token:
                new = values.get(name, value._ganga_old)
                placeholders.became_of(value, placeholders.UNBOUND if new is GONE else new)
        self.look()

    def known(self) -> dict[numbered.Key, Any]:
        """What its result may refer to."""
        return {
            numbered.Key(name, number): one
            for name, found in self.parts.items()
            for number, one in enumerate(found)
        }

    def has_delivered(self) -> None:
        """Let go of what only its result could mean."""
        self.sent, self.parts, self.placed, self.source = {}, {}, {}, ""


#: What is known of each job whose names were made pending, by its token.
jobs: dict[str, Awaited] = {}


def of(token: str) -> Awaited:
    """What is known of a job; nothing if a kernel that has ended submitted it."""
    return jobs.get(token, Awaited(frozenset(), {}, {}, 0, 0, False, ""))


def maps() -> set[str]:
    """The tokens of those that are maps."""
    return {token for token, job in jobs.items() if job.is_map}


def source_of(token: str) -> str:
    """The cell of a job, as Python; empty if it isn't known."""
    return of(token).source
