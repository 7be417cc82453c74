"""What was found, and how it is told. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

#: What a finding may be: it works; it does, but; it doesn't; nothing that could work or fail.
OK, WARNING, FAILURE, NOTE = "ok", "warning", "failure", "note"
_MARKS = {OK: "ok", WARNING: "warn", FAILURE: "FAIL", NOTE: "-"}
#: Columns in which a sentence begins, and where it ends.
_INDENT, _WIDTH = 8, 110


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes
    ----------
    area: what it belongs to: Jupyter, Folders, …
    status: one of `OK`, `WARNING`, `FAILURE`, `NOTE`
    told: what was found, in a sentence
    remedy: what to do about it; "" if there is nothing to do
    """

    area: str
    status: str
    told: str
    remedy: str = ""


def as_text(findings: Iterable[Finding]) -> str:
    """The findings for a terminal, area by area, with how many failures and warnings there are."""
    found = list(findings)
    lines = []
    for area, of_area in groupby(found, key=lambda one: one.area):
        lines.append(area)
        for one in of_area:
            lines += _lines(one)
        lines.append("")
    return "\n".join([*lines, summary(found)])


def _lines(one: Finding) -> list[str]:
    mark = f"  {_MARKS[one.status]:<{_INDENT - 2}}"
    first = textwrap.wrap(one.told, _WIDTH, initial_indent=mark, subsequent_indent=" " * _INDENT)
    arrow = " " * _INDENT + "-> "
    rest = textwrap.wrap(one.remedy, _WIDTH, initial_indent=arrow, subsequent_indent=" " * len(arrow))
    return [*first, *rest]


def summary(findings: Iterable[Finding]) -> str:
    """In a sentence: does it work?"""
    found = list(findings)
    failures = sum(one.status == FAILURE for one in found)
    warnings = sum(one.status == WARNING for one in found)
    if not failures:
        beside = f", with {_count(warnings, 'warning')}" if warnings else ""
        return f"All that is needed works{beside}."
    beside = f" and {_count(warnings, 'warning')}" if warnings else ""
    return f"{_count(failures, 'failure')}{beside}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
