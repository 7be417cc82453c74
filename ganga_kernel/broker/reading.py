"""What a task has written until now, for a reader who goes on where he stopped.

What the cell writes comes in its event stream and is in the store. What its process says outside of the cell
is in a file of the job's folder, which HTCondor brings when the task ends. There is the backend's event log,
too, which grows while the task waits and runs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import BackendError
from . import backends, clusters

#: Outputs, and bytes of a file, that are read at once.
OUTPUTS, _BYTES = 500, 1 << 20
#: The line with which HTCondor ends an event.
_EVENT_END = b"\n...\n"
#: How an event begins: its number, and the job as cluster, proc and subproc.
_EVENT = re.compile(r"\d{3} \((\d+)\.(\d+)\.\d+\) ")


def task_of(job: Mapping[str, Any], task: int | None) -> int:
    """The number of the task that is meant.

    Parameters
    ----------
    task: None for the only one

    Raises
    ------
    BackendError: there is no such task, or there are several.
    """
    number, count = job["id"], len(job["tasks"])
    if task is None and count > 1:
        raise BackendError(
            f"Job {number} has {count} tasks, 0 to {count - 1}.", f"Say which, for example %logs {number}.0."
        )
    if task is not None and task >= count:
        tasks = f"its tasks are 0 to {count - 1}" if count > 1 else "its only one is 0"
        raise BackendError(f"Job {number} has no task {task}: {tasks}.", "")
    return task or 0


def read(
    job: dict[str, Any],
    task: int,
    what: Collection[str],
    outputs: list[dict[str, Any]],
    after: Mapping[str, int],
) -> dict[str, Any]:
    """Read on. Reads files of the job's folder.

    Parameters
    ----------
    job: its row in the store, with its tasks; read before the outputs and before the files are
    what: some of "stdout", "stderr" and "events"
    outputs: the task's next outputs, `OUTPUTS` of them at most
    after: where to go on: ``after`` of the last answer; empty at first

    Returns
    -------
    ``texts``, pairs of "stdout" or "stderr" and a text; ``after``; ``more``: there is more to read already;
    ``over``: the backend has ended the task, so that with no ``more`` nothing will come; ``state`` and
    ``attempt`` of the task.

    Raises
    ------
    BackendError: only events are wanted, and the backend keeps no log of them.
    """
    row, log = job["tasks"][task], backends.log(job, task)
    if log is None and set(what) == {"events"}:
        raise BackendError(f"{job['backend']} keeps no event log of job {job['id']}.", "")
    over = bool(row["backend_ended"])
    texts = [one for one in texts_of(outputs) if one[0] in what]
    said = _Part(Path(job["folder"]) / f"{task}.stderr", after.get("stderr", 0), b"\n")
    if "stderr" in what:
        texts += [("stderr", said.read(to_the_end=over))]
    events = _Part(log or Path(), after.get("events", 0), _EVENT_END)
    if "events" in what and log is not None:
        texts += [("stdout", events_of(events.read(), clusters.proc_of(job["clusters"], task)))]
    next_output = outputs[-1]["number"] + 1 if outputs else after.get("output", 0)
    return {
        "texts": [one for one in texts if one[1]],
        "after": {"output": next_output, "stderr": said.offset, "events": events.offset},
        "more": len(outputs) == OUTPUTS or said.more or events.more,
        "over": over,
        "state": row["state"],
        "attempt": row["attempt"],
    }


def texts_of(outputs: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What outputs of a cell come to without a notebook: pairs of "stdout" or "stderr" and a text."""
    found = [_text_of(one["output"]["type"], one["output"]["content"]) for one in outputs]
    return [one for one in found if one[1]]


def _text_of(kind: str, content: Mapping[str, Any]) -> tuple[str, str]:
    if kind == "stream":
        return content["name"], content["text"]
    if kind == "error":
        return "stderr", "\n".join(content["traceback"]) + "\n"
    text = content.get("data", {}).get("text/plain")
    return "stdout", "" if text is None else f"{text}\n"


def events_of(text: str, proc: str | None) -> str:
    """Those of HTCondor's events, as its log has them, that are of one proc (see `clusters.proc_of`)."""
    events = text.split("\n...\n")[:-1]
    mine = [
        one for one in events if (found := _EVENT.match(one)) and f"{int(found[1])}.{int(found[2])}" == proc
    ]
    return "".join(f"{one}\n...\n" for one in mine)


class _Part:
    """The part of a growing file that begins at `offset`, up to what ends a piece of it.

    Attributes
    ----------
    offset: after `read`, where it ends
    more: after `read`, whether there was more than is read at once
    """

    def __init__(self, path: Path, offset: int, end: bytes) -> None:
        self._path, self.offset, self._end = path, offset, end
        self.more = False

    def read(self, to_the_end: bool = False) -> str:
        """Its text, some megabytes at most; empty where there is no file yet.

        Parameters
        ----------
        to_the_end: whether what is no whole piece counts, too
        """
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self.offset:  # it began anew
                    self.offset = 0
                file.seek(self.offset)
                block = file.read(_BYTES)
                self.more = len(block) == _BYTES
        except OSError:  # it isn't there, or a network's file system has lost it
            return ""
        whole = block.rfind(self._end) + len(self._end) if self._end in block else 0
        if (to_the_end and not self.more) or (self.more and not whole):
            whole = len(block)
        self.offset += whole
        return block[:whole].decode(errors="replace")
