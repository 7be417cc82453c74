"""What ``%%batch --dry-run`` says: what a cell's job would be, in text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .jobrequest import cautions, unseen
from .options import Options, spell_size


def as_text(
    captured: dict[str, Any], chosen: Options, request: Mapping[str, Any], told: Mapping[str, Any],
    jobs: Mapping[str, int],
) -> str:  # fmt: skip
    """The job in full.

    Parameters
    ----------
    captured: what the bridge captured for the cell
    request: the job as it would be submitted
    told: what the broker says of it: ``backend``, ``files`` with sizes in bytes, which ``python``, and how
        the backend would be told
    jobs: numbers of jobs by token
    """
    environment = captured["environment"]
    lines = [
        f"Nothing was submitted. On {told['backend']}, the cell would be {_tasks(request)}.",
        f"Names sent: {_sizes(captured['names'])}.",
        *(
            f"Names from job {jobs[token]}, when it is done: {', '.join(names)}."
            for token, names, _ in captured["after"]
        ),
        f"Names that come back: {', '.join(captured['binds']) or 'none'}.",
        f"Names whose objects it may change: {', '.join(captured['mutates']) or 'none'}.",
        *cautions(captured),
        f"Resources: {Options(**chosen.resources()).describe() or 'as the backend gives by default'}.",
        f"Python: {told['python']}, in {environment['directory']}.",
        *_files(captured["files"]),
        *unseen(captured, chosen),
        "Files:",
        *(f"    {spell_size(size, ' '):>8}  {path}" for path, size in told["files"]),
        f"{told['called']}:",
        *(f"    {line}" for line in told["lines"]),
    ]
    return "\n".join(lines) + "\n"


def _files(files: Mapping[str, Any] | None) -> list[str]:
    """What the cell is to have and to bring back."""
    if files is None:
        return []
    described = files["described"]
    given = [f"    {spell_size(size, ' '):>8}  /{place}" for place, size, _ in described["inputs"]]
    given += [f"              {url}" for url in described["urls"]]
    brings = ", ".join(described["output"])
    return [
        *(["Input:", *given] if given else []),
        *([f"Output that comes back: {brings}."] if brings else []),
    ]


def _tasks(request: Mapping[str, Any]) -> str:
    count = request["tasks"]
    tasks = f"{count} tasks" if count > 1 else "1 task"
    return f"{tasks} for {request['map']['count']} items" if request["map"] else tasks


def _sizes(names: Mapping[str, int]) -> str:
    if not names:
        return "none"
    largest_first = sorted(names, key=lambda name: -names[name])
    return ", ".join(f"{name} ({spell_size(names[name], ' ')})" for name in largest_first)
