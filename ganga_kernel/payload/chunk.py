"""Several items of a map in one process, each in a fresh namespace."""

from __future__ import annotations

import gc
import os
from typing import Any, Callable

from . import items, result, seeds, unpickling
from .budget import Budget
from .events import EventStream
from .frames import frames_of
from .job import Job, Mapped
from .outputs import Outputs
from .sealed import Writer


class Chunk:
    """The items that one task runs.

    Parameters
    ----------
    runner: runs the cell
    load: loads what the notebook sent, and an item's values, into the namespace
    ran: called after each run of the cell
    collect: called with each item that has ended: takes in the files that it wrote

    Attributes
    ----------
    frames: of the first item that failed, see `frames_of`
    """

    def __init__(
        self,
        job: Job,
        mapped: Mapped,
        namespace: dict[str, Any],
        runner: Any,
        outputs: Outputs,
        events: EventStream,
        load: Callable[[int], None],
        ran: Callable[[], None],
        collect: Callable[[int], None],
    ) -> None:
        self._job, self._mapped, self._namespace = job, mapped, namespace
        self._runner, self._outputs, self._events = runner, outputs, events
        self._load, self._ran, self._collect = load, ran, collect
        self._folder = os.getcwd()
        self.frames: list[dict[str, Any]] = []

    def run(self, task: int, file: Writer) -> dict[str, Any] | None:
        """Run a task's items, one after the other, and write what they leave to a result file.

        Returns
        -------
        The error of the first item that failed, if there is one. An item that fails stops no other.

        What it hands on to other tasks is told by an event, ``left``, with the first place that it won't run.
        """
        gc.freeze()  # garbage is collected between items, and what is loaded by now is none
        first: dict[str, Any] | None = None
        mapped = self._mapped
        for place in Budget(*mapped.chunks[task], mapped.budget, self._leave).places():
            error = self._run(mapped.item_at(place), file)
            first = first or error
        return first

    def _leave(self, place: int) -> None:
        self._events.emit("left", place=place)

    def _run(self, item: int, file: Writer) -> dict[str, Any] | None:
        os.chdir(self._folder)
        self._runner.renew()
        unpickling.forget_classes()
        self._load(item)
        seeds.renew(self._job.seed, item)
        values = result.Values(self._namespace, self._runner.hidden())
        self._outputs.begin_item(item)
        error: dict[str, Any] | None = self._runner.run(self._job.source, self._job.execution_count)
        self._ran()
        self._outputs.begin_item(None)
        self._collect(item)
        if error is None:
            items.append(file, item, self._namespace, self._bound(values))
        elif self._mapped.allow_failures:
            items.append_failure(file, item, self._namespace, self._runner.exception, error)
        if error is not None and not self.frames:
            self.frames = frames_of(self._runner.exception)
        said = None if error is None else {"ename": error["ename"], "evalue": error["evalue"]}
        self._events.emit("item", item=item, status="ok" if error is None else "error", error=said)
        return error

    def _bound(self, values: result.Values) -> list[str]:
        found = values.bound(self._namespace) | {*self._mapped.surely} & {*self._namespace}
        shown = f"_{self._job.execution_count}"
        if shown in self._namespace:
            found.add(shown)
        return sorted(found.difference(self._mapped.names))
