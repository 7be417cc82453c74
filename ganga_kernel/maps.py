"""``--map x=EXPR``: a cell that runs once for each item. Its option, and how items become tasks. Pure."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .errors import OptionError

#: ``--chunk auto``, which is what happens anyway unless the user says a number.
AUTO = 0
#: Tasks of one job at most.
MOST_TASKS = 10_000
#: The options on a line that hold expressions, Python's or HTCondor's, where no quote is open.
_OPTION = re.compile(r"--(map|merge|set)(?:=|\s+)")
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class Map(NamedTuple):
    """One ``--map``: names, and the expression whose items they get; more than one name unpacks each item."""

    names: tuple[str, ...]
    expression: str

    def __str__(self) -> str:
        return f"{','.join(self.names)}={self.expression}"


def parse(text: str) -> Map:
    """A map from ``x=EXPR`` or ``a,b=EXPR``.

    Raises
    ------
    ValueError: it is none.
    """
    left, equals, expression = text.partition("=")
    names = tuple(name.strip() for name in left.split(","))
    if not equals or not expression.strip() or expression.startswith("="):
        raise ValueError("it is written NAME=EXPRESSION, for example x=range(10)")
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(f"{name!r} is no name of a variable")
    return Map(names, expression.strip())


class Merge(NamedTuple):
    """One ``--merge``: a name, and the expression of a function that makes one of two of its values."""

    name: str
    expression: str

    def __str__(self) -> str:
        return f"{self.name}={self.expression}"

    def function(self) -> str:
        """The expression as Python: a ``+`` adds."""
        return "lambda a, b: a + b" if self.expression == "+" else self.expression


def parse_merge(text: str) -> Merge:
    """A merge from ``total=max`` or ``h=+``.

    Raises
    ------
    ValueError: it is none.
    """
    name, equals, expression = (part.strip() for part in text.partition("="))
    if not equals or not expression or expression.startswith("="):
        raise ValueError("it is written NAME=FUNCTION, for example total=max, or NAME=+ to add up")
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no name of a variable")
    return Merge(name, expression)


def merged_together(merges: list[Merge]) -> tuple[Merge, ...]:
    """Several merges of one cell.

    Raises
    ------
    ValueError: two of them are of one name.
    """
    _once([one.name for one in merges], "merged")
    return tuple(merges)


def together(maps: list[Map]) -> tuple[Map, ...]:
    """Several maps of one cell.

    Raises
    ------
    ValueError: two of them bind one name.
    """
    _once([name for one in maps for name in one.names], "mapped")
    return tuple(maps)


def _once(names: list[str], what: str) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is {what} twice")


def taken_from(line: str) -> tuple[str, list[str]]:
    """The maps, merges and submit commands of a ``%%batch`` line, as options, and the line without them.

    Their expression is no shell's: it may hold quotes, and blanks within brackets. It may also be
    quoted as a whole.

    Raises
    ------
    OptionError: a bracket or a quote of an expression isn't closed.
    """
    found, rest = [], ""
    at = 0
    quote = ""
    while at < len(line):
        option = _OPTION.match(line, at) if not quote and (at == 0 or line[at - 1].isspace()) else None
        if option is not None and line[option.end() : option.end() + 1] not in ("'", '"', ""):
            end = _end_of_expression(line, option.end())
            found.append(f"--{option[1]}={line[option.end() : end]}")
            at = end
            continue
        if line[at] == "#" and not quote and (at == 0 or line[at - 1].isspace()):
            return rest + line[at:], found
        if line[at] in "'\"" and quote in ("", line[at]):
            quote = "" if quote else line[at]
        rest += line[at]
        at += 1
    return rest, found


def _end_of_expression(line: str, start: int) -> int:
    """Where a Python expression ends: at the first blank outside of brackets and strings."""
    open_: list[str] = []
    at = start
    while at < len(line):
        character = line[at]
        if character in "'\"":
            at = _end_of_string(line, at)
            continue
        if character in _CLOSING:
            open_.append(_CLOSING[character])
        elif open_ and character == open_[-1]:
            open_.pop()
        elif character.isspace() and not open_:
            return at
        at += 1
    if open_:
        raise OptionError(f"The expression {line[start:]} misses a {open_[-1]!r}.", "Close the bracket.")
    return at


def _end_of_string(line: str, start: int) -> int:
    at = start + 1
    while at < len(line):
        if line[at] == "\\":
            at += 1
        elif line[at] == line[start]:
            return at + 1
        at += 1
    raise OptionError(f"The string {line[start:]} isn't closed.", "Check the quotes.")


def check_merges(merges: tuple[Merge, ...], maps: tuple[Map, ...] | None) -> None:
    """See that merges have something to merge.

    Raises
    ------
    OptionError: they don't.
    """
    if merges and not maps:
        raise OptionError(
            f"--merge {merges[0]} is for a map, and the cell has none.", "Add --map NAME=EXPRESSION."
        )


def check_rehearsal(rehearse: bool | None, maps: tuple[Map, ...] | None, backend: str) -> None:
    """See that a rehearsal is of something, and where there is one.

    Raises
    ------
    OptionError: it isn't.
    """
    if rehearse and not maps:
        raise OptionError("--rehearse is for a map, and the cell has none.", "Add --map NAME=EXPRESSION.")
    if rehearse and backend != "HTCondor":
        raise OptionError(
            f"--rehearse is for HTCondor, and the cell's backend is {backend}.",
            "Leave it out, or add --backend HTCondor.",
        )


def check_bound(merges: tuple[Merge, ...], binds: list[str]) -> None:
    """See that a cell binds the names whose values are to be merged.

    Raises
    ------
    OptionError: it doesn't.
    """
    for one in merges:
        if one.name not in binds:
            raise OptionError(
                f"--merge {one}: the cell doesn't bind {one.name}.",
                f"It binds {', '.join(binds) or 'nothing'}.",
            )


def divided(count: int, backend: str, slots: int, chunk: int | None, seconds: float) -> dict[str, Any]:
    """How the items of a map become tasks on a backend: ``chunks`` and ``budget``, see `payload.job.Mapped`.

    With a budget the chunks aren't known yet: there is one, which the broker divides among the slots that
    HTCondor has when it submits the job. Ganga starts all tasks of a job on this host at once, so there are
    no more of them than `slots`.

    Parameters
    ----------
    slots: local jobs that run at once
    chunk: items a task that the user asked for; None or `AUTO`: as many as suit
    seconds: the budget of a task whose items nobody has numbered
    """
    if backend == "HTCondor" and not chunk:
        return {"chunks": [[0, count]], "budget": seconds}
    most = MOST_TASKS if chunk and backend != "Local" else slots
    return {"chunks": chunks(count, most, chunk or 1), "budget": None}


def chunks(count: int, tasks: int, size: int) -> list[list[int]]:
    """The items of each task: the first, and the one after the last. No two tasks differ by more than one.

    Parameters
    ----------
    tasks: how many there are at most
    size: items of a task at most, unless that would make too many tasks
    """
    tasks = min(tasks, -(-count // size))
    return [[count * i // tasks, count * (i + 1) // tasks] for i in range(tasks)]


def items_of(described: Mapping[str, Any], task: int) -> Sequence[int]:
    """The items of a task, of a map as its job has it; see `ganga_kernel.payload.job.Mapped`."""
    start, stop = described["chunks"][task]
    only = described["only"]
    return range(start, stop) if only is None else only[start:stop]


def rehearsed(described: Mapping[str, Any], slots: int) -> list[list[int]]:
    """The chunks of a map whose first item runs alone first, the others as many as there are slots."""
    rest = total(described) - 1
    return [[0, 1], *([start + 1, stop + 1] for start, stop in (chunks(rest, slots, 1) if rest else ()))]


def total(described: Mapping[str, Any]) -> int:
    """How many items a job runs."""
    return int(described["count"] if described["only"] is None else len(described["only"]))


def runs(described: Mapping[str, Any], task: int, item: int) -> bool:
    """Whether an item is one of a task's."""
    items = items_of(described, task)
    return items[0] <= item <= items[-1]


def shown(numbers: list[int]) -> str:
    """Item numbers as a person writes them: ``3, 7 to 9``."""
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in _runs(numbers))


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    start = last = None
    for number in numbers:
        if last is not None and number == last + 1:
            last = number
            continue
        if start is not None and last is not None:
            yield start, last
        start = last = number
    if start is not None and last is not None:
        yield start, last


def spell(maps: tuple[Map, ...]) -> Any:
    """The maps as plain data, for the bridge."""
    return [[list(one.names), one.expression] for one in maps]
