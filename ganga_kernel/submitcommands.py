"""``--set KEY=VALUE``: submit commands of HTCondor that have no option of their own, verbatim. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_NAME = re.compile(r"(\+|MY\.)?[A-Za-z_][A-Za-z0-9_.]*", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Words of a ClassAd that are values.
_VALUES = {"true", "false", "undefined", "error"}
#: Submit commands for which there is an option.
_OPTIONS = {
    "request_memory": "memory", "request_cpus": "cpus", "request_gpus": "gpus", "request_disk": "disk",
    "allowed_job_duration": "runtime", "requirements": "requirements", "rank": "rank",
    "accounting_group": "group",
}  # fmt: skip


class Command(NamedTuple):
    """One ``--set``: a submit command, or an attribute of the job's ad (``+X``, ``MY.X``), and its value."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}"

    @property
    def attribute(self) -> str:
        """What it sets, however it is spelt: two of the same set the same."""
        return re.sub(r"^\+", "my.", self.name.lower())


def parse(text: str) -> Command:
    """A command from ``concurrency_limits=db:2`` or ``+JobFlavour="longlunch"``.

    Raises
    ------
    ValueError: it is none.
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not value:
        raise ValueError("it is written KEY=VALUE, for example concurrency_limits=db:2")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no submit command")
    if option := _OPTIONS.get(name.lower()):
        raise ValueError(f"it has an option of its own, --{option}")
    found = Command(name, value)
    if found.attribute.startswith("my.") and _WORD.fullmatch(value) and value.lower() not in _VALUES:
        raise ValueError(
            f'{value} would be the name of another attribute; a text has quotes: {name}="{value}"'
        )
    return found


def together(commands: list[Command]) -> tuple[Command, ...]:
    """Several commands of one cell.

    Raises
    ------
    ValueError: two of them set the same.
    """
    seen: set[str] = set()
    for one in commands:
        if one.attribute in seen:
            raise ValueError(f"{one.name} is set twice")
        seen.add(one.attribute)
    return tuple(commands)


def over(stronger: Iterable[Command], weaker: Iterable[Command]) -> tuple[Command, ...]:
    """Commands of two sources together: where both set the same, the stronger one's value counts."""
    merged = {one.attribute: one for one in (*weaker, *stronger)}
    return tuple(merged.values())
