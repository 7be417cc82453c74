"""A notebook's cells, one after another as Run All sends them, and the end of all jobs that they start."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from nbformat import NotebookNode

from .. import panel
from ..errors import RunFailed, RunInterrupted
from ..routing import cell_tags
from ..states import ended
from .client import Client, KernelEnded
from .outputs import Message, Outputs

#: The tag of a cell that may fail; nbclient and JupyterLab know it as well.
ALLOWED = "raises-exception"


class Runner:
    """One run of a notebook, whose cells it fills with what they show.

    Parameters
    ----------
    say: gets a line or more for each change: which cell runs, how a job is
    """

    def __init__(self, notebook: NotebookNode, client: Client, say: Callable[[str], None]) -> None:
        self._cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        self._outputs = Outputs(self._cells)
        self._client, self._say = client, say
        self._doing = "the beginning"
        self._jobs: dict[int, str] = {}

    def run(self) -> None:
        """Run the cells up to the first that fails, and wait for the jobs that were started.

        A cell is sent when the one before it is answered, which a batch cell is as soon as its job is
        accepted: so jobs run side by side, and what stands behind an error isn't sent.

        Raises
        ------
        RunFailed: a cell or a job failed, or the kernel ended.
        RunInterrupted: the user ended the run.
        """
        stopped = None
        try:
            stopped = self._run_cells()
            self._wait()
        except KernelEnded:
            if not self._client.interrupted:
                raise RunFailed(f"The kernel ended in {self._doing}.", self._going_on()) from None
        if self._client.interrupted or self.going():
            raise RunInterrupted(f"Interrupted in {self._doing}.", self._going_on())
        failed = [at for at, cell in enumerate(self._cells) if at == stopped or _job_failed(cell)]
        if failed:
            raise RunFailed("\n".join(self._report(at, at == stopped) for at in failed))

    def _run_cells(self) -> int | None:
        """Run cell by cell; returns where it stopped because of an error."""
        for at, cell in enumerate(self._cells):
            if self._client.interrupted:
                break
            if not cell.source.strip():
                continue
            self._doing = self._name(at)
            self._say(f"{self._doing.capitalize()}: {cell.source.strip().splitlines()[0][:80]}")
            allowed = _may_fail(cell)
            reply = self._client.ask(
                cell.source,
                {**cell.metadata, "cellId": cell.id},
                partial(self._take, at),
                stop_on_error=not allowed,
            )
            if reply["status"] != "ok" and not allowed:
                self._say(f"{self._doing.capitalize()} failed; the cells behind it are not run.")
                return at
        return None

    def _wait(self) -> None:
        """Wait until all jobs have ended, delivered, and shown all that they have to show."""
        going = self.going()
        if going and not self._client.interrupted:
            self._doing = f"the wait for {_jobs(going)}"
            self._say(f"Waiting for {_jobs(going)}.")
            self._client.ask("%wait", {}, lambda message: None, silent=True, store_history=False)

    def _take(self, at: int, message: Message) -> None:
        """Take in what belongs to a cell, and tell of its job what is new."""
        self._outputs.take(at, message)
        content = message["content"]
        job = panel.job_of(content.get("metadata", {}))
        if job is None:
            return
        text = content["data"]["text/plain"]
        state = panel.state_in(text)
        if self._jobs.get(job) != state:
            self._jobs[job] = state
            lines = text.splitlines()
            if not ended(state):
                lines.pop()  # how to refresh the panel
            self._say("\n".join(f"  {line}" for line in lines))

    def going(self) -> list[int]:
        """The jobs that haven't ended."""
        return [job for job, state in self._jobs.items() if not ended(state)]

    def _going_on(self) -> str:
        """What becomes of those jobs; empty if there are none."""
        going = self.going()
        if not going:
            return ""
        numbers = " ".join(map(str, going))
        return (
            f"What goes on: {_jobs(going)}. In a notebook, %wait {numbers} shows it, %kill {numbers} ends it."
        )

    def _name(self, at: int) -> str:
        return f"cell {at + 1} of {len(self._cells)}"

    def _report(self, at: int, stopped: bool) -> str:
        """Why a cell failed, as it shows it."""
        behind = "; the cells behind it were not run" if stopped else ""
        lines = [line for output in _errors(self._cells[at]) for line in output.traceback]
        return "\n".join([f"{self._name(at).capitalize()} failed{behind}:", *lines])


def _jobs(numbers: list[int]) -> str:
    return ", ".join(f"job {number}" for number in numbers)


def _may_fail(cell: NotebookNode) -> bool:
    return ALLOWED in cell_tags(cell.metadata)


def _errors(cell: NotebookNode) -> list[NotebookNode]:
    return [output for output in cell.outputs if output.output_type == "error"]


def _job_failed(cell: NotebookNode) -> bool:
    """Whether a batch cell's job ended with an error that the cell isn't allowed."""
    batch = any(panel.job_of(output.get("metadata", {})) is not None for output in cell.outputs)
    return batch and not _may_fail(cell) and bool(_errors(cell))
