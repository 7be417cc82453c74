"""A batch cell on the screen: its panel, and its outputs as they arrive."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from . import panel
from .states import ended

#: Seconds between two updates of one panel, at least.
_PAUSE = 0.25


class Screen(Protocol):
    """Sends outputs to the front end. Implemented by the grid kernel."""

    def publish(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> None:
        """Send one iopub message with that parent, now or long after its request ended."""


class LivePanel:
    """A job's panel somewhere in the notebook, drawn in place.

    Parameters
    ----------
    parent: the request under which it stands
    """

    def __init__(self, parent: dict[str, Any], screen: Screen) -> None:
        self._parent, self._screen = parent, screen
        self._display = uuid.uuid4().hex
        self._shown = False

    def draw(self, job: dict[str, Any], hints: list[str]) -> None:
        """Draw it: at first as a new output, then in its place."""
        kind = "update_display_data" if self._shown else "display_data"
        self._shown = True
        content = {
            "data": panel.bundle(job, time.time(), hints),
            "metadata": panel.metadata(job),
            "transient": {"display_id": self._display},
        }
        self._screen.publish(kind, content, self._parent)

    @property
    def shown(self) -> bool:
        """Whether it stands under its cell."""
        return self._shown

    def gone(self) -> None:
        """The cell was cleared: the panel is a new output again."""
        self._shown = False


class LiveCell:
    """What the front end shows of one job, and how far it has got.

    Parameters
    ----------
    job: the job's summary, as the broker tells it
    parent: the batch cell's execute_request, to which all outputs belong
    hints: sentences for the panel
    folder: the job's folder in the spool; None for a job that was started elsewhere, which is only shown

    Attributes
    ----------
    ended: set when the job has ended and its names are delivered, or its failure is
    next_output: number of the next output to show
    early: sentences for the panel until the job starts
    brings: files that the job is to write, as ``--output`` names them
    refused: why the result wasn't taken, if it wasn't
    after: tokens of the jobs whose names it took
    replaces: token of the job that was submitted once more as this one; empty if none was
    placed: how its names were made pending, see `Notebook._place`
    cell: what tells its cell from others: the id, or where the front end tells none the source
    watchers: told when the job's summary changed
    """

    def __init__(
        self,
        job: dict[str, Any],
        parent: dict[str, Any],
        screen: Screen,
        hints: list[str],
        folder: Path | None = None,
    ) -> None:
        self.job, self.hints, self.folder = job, hints, folder
        self.early: list[str] = []
        self.brings: tuple[str, ...] = ()
        self.ended = asyncio.Event()
        self.next_output = 0
        self.refused = ""
        self.after: list[str] = []
        self.replaces = ""
        self.placed: dict[str, Any] = {}
        self.cell = ""
        self.watchers: list[Callable[[dict[str, Any]], None]] = []
        self._parent, self._screen = parent, screen
        self._panel = LivePanel(parent, screen)
        self._copies: list[LivePanel] = []
        self._drawn = 0.0
        self._later: asyncio.TimerHandle | None = None
        self._clear_first = False
        self._finishing = False

    @property
    def finishing(self) -> bool:
        """Whether its job has ended, and its names or its failure are being delivered."""
        return self._finishing

    def move(self, parent: dict[str, Any], hints: list[str], folder: Path) -> None:
        """The cell was run again: show everything anew, under the new request, and deliver once more."""
        self.hints, self.folder = hints, folder
        self.next_output, self.refused = 0, ""
        self.ended.clear()
        self._parent, self._panel = parent, LivePanel(parent, self._screen)
        self._clear_first = self._finishing = False

    def update(self, job: dict[str, Any]) -> bool:
        """Take a newer summary in; whether the job has ended with it, for the first time."""
        if self._finishing:
            return False
        changed = job != self.job
        self.job = job
        self._finishing = ended(job["state"])
        if changed:
            self.draw_soon()
            for watcher in self.watchers:
                watcher(job)
        return self._finishing

    def show(self, number: int, output: dict[str, Any]) -> bool:
        """Show an output; one shown already is passed over. False if one before it is missing."""
        if number > self.next_output:
            return False
        if number == self.next_output:
            self.next_output += 1
            self._show(output["type"], output["content"])
        return True

    def show_error(self, ename: str, evalue: str, traceback: list[str]) -> None:
        """Show an error that the cell itself couldn't report."""
        self._show("error", {"ename": ename, "evalue": evalue, "traceback": traceback})

    def show_items(self, data: dict[str, str]) -> None:
        """Show the outputs of a map's items, a mime bundle."""
        self._show(
            "display_data", {"data": data, "metadata": panel.metadata(self.job, "items"), "transient": {}}
        )

    def begin_anew(self, next_output: int) -> None:
        """The job starts once more: what it showed is void."""
        self.next_output = next_output
        self._clear()

    def _clear(self) -> None:
        """Clear the cell. The panel, no output of the cell's, is shown again before the next output."""
        self._clear_first = False
        self._panel.gone()
        self._screen.publish("clear_output", {"wait": False}, self._parent)
        self.draw_soon()

    def refuse_delivery(self, why: str) -> None:
        """The result isn't taken: say why, and remember it for whoever needs the names."""
        self.refused = why
        self.hints.append(f"The result was not taken: {why}.")

    def draw_soon(self) -> None:
        """Draw the panel, at most four times a second."""
        if self._later is None:
            wait = max(0.0, self._drawn + _PAUSE - time.monotonic())
            self._later = asyncio.get_running_loop().call_later(wait, self.draw)

    def draw(self) -> None:
        """Draw the panel now, and its copies."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._drawn = time.monotonic()
        for one in (self._panel, *self._copies):
            one.draw(self.job, self._said())

    def _said(self) -> list[str]:
        """The sentences for the panel now."""
        return self.hints if self.job["started"] or ended(self.job["state"]) else [*self.hints, *self.early]

    def copy_panel(self, parent: dict[str, Any]) -> None:
        """Draw the panel once more, under another cell, and keep it up to date there."""
        copy = LivePanel(parent, self._screen)
        copy.draw(self.job, self._said())
        self._copies.append(copy)

    def _show(self, kind: str, content: dict[str, Any]) -> None:
        """Show an output. The panel is no output of the cell's, so it survives a clear_output."""
        if kind == "clear_output":
            if content.get("wait"):
                self._clear_first = True
            else:
                self._clear()
            return
        if self._clear_first:
            self._clear()
        if not self._panel.shown:
            self._panel.draw(self.job, self._said())
        if kind == "execute_result":  # the cell may have been run again since
            content = {**content, "execution_count": self.job["execution_count"]}
        self._screen.publish(kind, content, self._parent)
