"""The text of ``%logs``. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from .panel import where


def as_text(found: Mapping[str, Any], with_locals: bool) -> str:
    """What is left of a job, for a reader.

    Parameters
    ----------
    found: what the broker tells of it, see `broker.logs`
    with_locals: whether to show the local variables of a failed task
    """
    job = found["job"]
    lines = [
        f"Job {job['id']} ({', '.join(where(job))}): {job['state']}",
        f"Its files are in {job['folder']}",
    ]
    for task in found["tasks"]:
        lines += _task(task, with_locals)
    if found["more"]:
        lines.append(f"… and {found['more']} tasks more.")
    if found["log_tail"]:
        lines += [f"{job['backend']}'s log, {found['log']}, ends so:", _indented(found["log_tail"])]
    return "\n".join(lines)


def _task(task: Mapping[str, Any], with_locals: bool) -> list[str]:
    facts = [
        f"on {task['host']}" if task["host"] else "",
        f"attempt {task['attempt']}" if task["attempt"] > 1 else "",
        f"exit code {task['exit_code']}" if task["exit_code"] is not None else "",
    ]
    lines = [", ".join(filter(None, [f"Task {task['task']}: {task['state']}", *facts]))]
    if task["reason"]:
        lines.append(_indented(task["reason"]))
    if task["error"]:
        lines.append(_indented(f"{task['error']['ename']}: {task['error']['evalue']}"))
    if task["said"]:
        lines += [_indented("Its process said, outside of the cell:"), _indented(task["said"], 2)]
    if with_locals:
        lines += _frames(task["frames"])
    return lines


def _frames(frames: list[Mapping[str, Any]]) -> list[str]:
    if not frames:
        return [_indented("No local variables were kept: the cell raised no error, or it is a map's.")]
    lines = []
    for frame in frames:
        where = "the cell" if frame["function"] == "<module>" else frame["function"]
        lines.append(_indented(f"In {where}, line {frame['line']}:"))
        lines += [_indented(f"{name} = {text}", 2) for name, text in frame["names"].items()]
    return lines


def _indented(text: str, levels: int = 1) -> str:
    return textwrap.indent(text, "  " * levels)
