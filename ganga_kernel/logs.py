"""The text of ``%logs``. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from .options import spell_size
from .panel import span, where


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
        *_used(found["used"], job["tasks"]),
    ]
    for task in found["tasks"]:
        lines += _task(task, with_locals)
    if found["more"]:
        lines.append(f"… and {found['more']} tasks more.")
    if found["log_tail"]:
        lines += [f"{job['backend']}'s log, {found['log']}, ends so:", _indented(found["log_tail"])]
    return "\n".join(lines)


class Reader:
    """What a task writes, as it is read bit by bit, with a line of ours where it starts anew and at its end.

    Attributes
    ----------
    after: where the next reading goes on
    """

    def __init__(self, job: int, task: int | None) -> None:
        self._title = f"Job {job}" if task is None else f"Job {job}, task {task}"
        self._attempt = 0
        self._at_line_start = True
        self.after: Mapping[str, int] = {}

    def texts(self, found: Mapping[str, Any], at_end: bool) -> list[tuple[str, str]]:
        """What one reading brings, as pairs of "stdout" or "stderr" and a text.

        Parameters
        ----------
        found: what the broker answers, see `broker.reading.read`
        at_end: whether it is the last, and the task's end is to be told
        """
        shown = []
        if 0 < self._attempt < found["attempt"]:
            shown.append(self._line(f"starts anew, attempt {found['attempt']}"))
        for name, text in found["texts"]:
            shown.append((name, text))
            self._at_line_start = text.endswith("\n")
        if at_end:
            shown.append(self._line(found["state"]))
        self.after, self._attempt = found["after"], found["attempt"]
        return shown

    def _line(self, said: str) -> tuple[str, str]:
        before = "" if self._at_line_start else "\n"
        self._at_line_start = True
        return "stdout", f"{before}--- {self._title}: {said} ---\n"


def _used(figures: list[Mapping[str, Any]], tasks: int) -> list[str]:
    """What the tasks used, as a table; a job of one task has one figure of each."""
    if not figures:
        return []
    columns = ("median", "high", "most") if tasks > 1 else ("most",)
    heads = {"median": "median", "high": "95% below", "most": "most" if tasks > 1 else "used"}
    rows = [["", *(heads[column] for column in columns), "asked"]]
    for one in figures:
        values = [*(one[column] for column in columns), one["asked"]]
        rows.append([one["what"], *("-" if v is None else _UNITS[one["unit"]](v) for v in values)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        _indented("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip())
        for row in rows
    ]


_UNITS: Mapping[str, Callable[[Any], str]] = {
    "bytes": lambda size: spell_size(size, " "), "seconds": span, "part": "{:.0%}".format,
}  # fmt: skip


def _task(task: Mapping[str, Any], with_locals: bool) -> list[str]:
    facts = [
        f"on {task['host']}" if task["host"] else "",
        f"attempt {task['attempt']}" if task["attempt"] > 1 else "",
        f"exit code {task['exit_code']}" if task["exit_code"] is not None else "",
    ]
    lines = [", ".join(filter(None, [f"Task {task['task']}: {task['state']}", *facts]))]
    if task["reason"]:
        lines.append(_indented(task["reason"]))
    lines += [_indented(entry["said"]) for entry in task["again"]]
    if task["error"]:
        lines.append(_indented(f"{task['error']['ename']}: {task['error']['evalue']}"))
    if task["said"]:
        lines += [_indented("Its process said, outside of the cell:"), _indented(task["said"], 2)]
    if task["wrote"]:
        lines += [_indented("Its cell wrote last:"), _indented(task["wrote"], 2)]
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
