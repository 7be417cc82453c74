"""What ``%%batch --dry-run`` says: what a cell's job would be, in text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .options import Options, spell_size


def as_text(
    captured: Mapping[str, Any], chosen: Options, request: Mapping[str, Any], told: Mapping[str, Any],
    jobs: Mapping[str, int],
) -> str:  # fmt: skip
    """The job in full.

    Parameters
    ----------
    captured: what the bridge captured for the cell
    request: the job as it would be submitted
    told: what the broker says of it: ``files`` with sizes in bytes, and how the backend would be told
    jobs: numbers of jobs by token
    """
    return "\n".join(_lines(captured, chosen, request, told, jobs)) + "\n"


def _lines(
    captured: Mapping[str, Any], chosen: Options, request: Mapping[str, Any], told: Mapping[str, Any],
    jobs: Mapping[str, int],
) -> Iterator[str]:  # fmt: skip
    environment = captured["environment"]
    yield f"Nothing was submitted. On {request['backend']}, the cell would be {_tasks(request)}."
    yield f"Names sent: {_sizes(captured['names'])}."
    for token, names, _ in captured["after"]:
        yield f"Names from job {jobs[token]}, when it is done: {', '.join(names)}."
    for name, reason in captured["unpicklable"].items():
        yield f"{name} can't travel: {reason} The cell fails if it uses it."
    for name, reason in captured["refused"].items():
        yield f"The module {name} can't travel: {reason}. The cell fails if it imports it."
    yield f"Names that come back: {', '.join(captured['binds']) or 'none'}."
    if captured["mutates"]:
        yield f"Names whose objects it may change: {', '.join(captured['mutates'])}."
    yield f"Resources: {Options(**chosen.resources()).describe() or 'as the backend gives by default'}."
    version = ".".join(map(str, environment["python_version"]))
    yield f"Python: {environment['python']} ({version}), in {environment['directory']}."
    yield "Files:"
    for path, size in told["files"]:
        yield f"    {spell_size(size, ' '):>8}  {path}"
    yield f"{told['called']}:"
    for line in told["lines"]:
        yield f"    {line}"


def _tasks(request: Mapping[str, Any]) -> str:
    count = request["tasks"]
    tasks = f"{count} tasks" if count > 1 else "1 task"
    return f"{tasks} for {request['map']['count']} items" if request["map"] else tasks


def _sizes(names: Mapping[str, int]) -> str:
    if not names:
        return "none"
    largest_first = sorted(names, key=lambda name: -names[name])
    return ", ".join(f"{name} ({spell_size(names[name], ' ')})" for name in largest_first)
