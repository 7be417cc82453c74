"""Batch cells: to the prompt, to the queue, and from the job's end to what the notebook shows of it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ganga_kernel.states import ended

from .bare import BareCondor, BareJob
from .client import GANGA, Cell, Kernel, Message, kernel
from .figures import Figure, Section
from .jobfiles import TICK, JobFiles
from .site import Site, make_site

_T = TypeVar("_T")
_PANEL = re.compile(r"Job \d+: (\w+)")
#: Seconds between two cells, so that one's clearing up isn't the next one's delay.
_PAUSE = 0.3
_PROMPT_AIM, _OUTPUT_AIM = "50 ms warm", "200 ms"


@dataclass(frozen=True)
class BatchCell:
    """When things happened to a batch cell, in unix seconds.

    Attributes
    ----------
    sent, prompt: the request was sent, the prompt was back
    output: the cell's last output came
    done: the panel that says that it is done came
    files: the rest
    """

    sent: float
    prompt: float
    output: float
    done: float
    files: JobFiles


def a_cell(number: int) -> str:
    """The code of a batch cell that binds a name and prints a line."""
    return f"x = {number}\nprint('said', x)"


def run_cell(one: Kernel, site: Site, backend: str, code: str) -> BatchCell:
    """Run a batch cell, and listen until its job has ended everywhere.

    Raises
    ------
    RuntimeError: the cell failed, or its job.
    """
    known = names(site.jobs)
    cell = one.send(code, {"tags": ["batch"], "batch": {"backend": backend}})
    files: list[JobFiles] = []

    def over() -> bool:
        if not files:
            files.extend(JobFiles(site.jobs / name) for name in sorted(names(site.jobs) - known))
        for file in files:
            file.look()
        terminated = backend != "HTCondor" or (files and files[0].terminated)
        return bool(cell.answered and terminated and done(cell))

    one.listen(over, TICK)
    output = max((when for when, message in cell.outputs if message["msg_type"] == "stream"), default=0.0)
    return BatchCell(cell.sent, cell.sent + cell.took, output, done(cell), files[0])


def warm(site: Site, quick: bool) -> tuple[Section, Section]:
    """Batch cells of a kernel and broker that run; on HTCondor each beside a bare job."""
    samples = 5 if quick else 20
    with kernel(GANGA, site) as one:
        run_cell(one, site, "HTCondor", a_cell(0))
        with closing(BareCondor(site)) as bare:
            bare.run()
            cells, jobs = _alternate(lambda n: run_cell(one, site, "HTCondor", a_cell(n)), bare.run, samples)
        local = _local_cells(one, site, samples)
    return _condor_section(cells, jobs), _local_section(local)


def warm_local(site: Site, quick: bool) -> Section:
    """As `warm`, where there is no HTCondor."""
    with kernel(GANGA, site) as one:
        return _local_section(_local_cells(one, site, 5 if quick else 20))


def cold(environment: dict[str, str], backends: list[str], quick: bool) -> Section:
    """The first batch cell of a user: a new state folder, no broker, a kernel that has just started."""
    rounds = 1 if quick else 5
    figures = []
    for backend in backends:
        for early, what in ((True, "broker starts with the kernel"), (False, "broker starts with the cell")):
            cells = [_first_cell(environment, backend, early) for _ in range(rounds)]
            title = f"{backend}: first cell to prompt, {what}"
            figures.append(Figure(title, "ms", _spans(cells, lambda c: c.prompt - c.sent)))
    note = (
        "The cell is sent as soon as the kernel is ready. By default the broker starts with the kernel "
        "(GangaKernel.start_broker), while the user still types."
    )
    return Section("The first batch cell, cold", figures, [note])


def _first_cell(environment: dict[str, str], backend: str, early: bool) -> BatchCell:
    with make_site(environment, start_broker=early) as site, kernel(GANGA, site) as one:
        return run_cell(one, site, backend, a_cell(0))


def _local_cells(one: Kernel, site: Site, samples: int) -> list[BatchCell]:
    run_cell(one, site, "Local", a_cell(0))
    cells = []
    for number in range(samples):
        time.sleep(_PAUSE)
        cells.append(run_cell(one, site, "Local", a_cell(number)))
    return cells


def _alternate(
    cell: Callable[[int], BatchCell], job: Callable[[], BareJob], samples: int
) -> tuple[list[BatchCell], list[BareJob]]:
    """Cells and bare jobs one at a time; who goes first alternates, as HTCondor remembers who came last."""
    cells: list[BatchCell] = []
    jobs: list[BareJob] = []
    for number in range(2 * samples):
        time.sleep(_PAUSE)
        if number % 4 in (0, 3):
            cells.append(cell(number))
        else:
            jobs.append(job())
    return cells, jobs


def _condor_section(cells: list[BatchCell], jobs: list[BareJob]) -> Section:
    returned = _spans(jobs, lambda j: j.returned - j.begun)
    queued = _spans(jobs, lambda j: j.files.submitted - j.begun)
    terminated = _spans(jobs, lambda j: j.files.terminated - j.files.ended)
    streamed = _spans(jobs, lambda j: j.files.streamed - j.files.ended)
    arrived = _spans(jobs, lambda j: j.files.arrived - j.files.ended)
    waited = _spans(jobs, lambda j: j.files.executing - j.files.submitted)
    ran = _spans(jobs, lambda j: j.files.ended - j.files.executing)
    figures = [
        Figure("request to prompt", "ms", _spans(cells, lambda c: c.prompt - c.sent), returned,
               "Schedd.submit returns", _PROMPT_AIM, "difference"),
        Figure("request to the job in the queue (SUBMIT in the log)", "ms",
               _spans(cells, lambda c: c.files.submitted - c.sent), queued,
               "Schedd.submit to SUBMIT", "", "difference"),
        Figure("job's end to its last output shown", "ms",
               _spans(cells, lambda c: c.output - c.files.ended), streamed,
               "end to last line in the streamed file", _OUTPUT_AIM, "difference"),
        Figure("job's end to the panel that says done", "ms",
               _spans(cells, lambda c: c.done - c.files.ended), arrived,
               "end to the result file whole", _OUTPUT_AIM, "difference"),
        Figure("job's end to JOB_TERMINATED in the log", "ms",
               _spans(cells, lambda c: c.files.terminated - c.files.ended), terminated,
               "the same", "", "difference"),
        Figure("JOB_TERMINATED in the log to the panel that says done", "ms",
               _spans(cells, lambda c: c.done - c.files.terminated)),
        Figure("SUBMIT to EXECUTE, HTCondor's own", "ms",
               _spans(cells, lambda c: c.files.executing - c.files.submitted), waited, "the same", "", ""),
        Figure("EXECUTE to the job's end, the payload's", "ms",
               _spans(cells, lambda c: c.files.ended - c.files.executing), ran, "the same", "", "difference"),
    ]  # fmt: skip
    notes = [
        "The bare job is the batch cell's own, submitted again by htcondor2 alone: same submit description, "
        "same files, same payload. Cells and bare jobs alternate.",
        "The job's end is the time in the payload's last event. A negative time is one that comes before: "
        "the result is there, and shown, before HTCondor has written its event.",
    ]
    return Section("Batch cells on HTCondor, warm", figures, notes)


def _local_section(cells: list[BatchCell]) -> Section:
    figures = [
        Figure("request to prompt", "ms", _spans(cells, lambda c: c.prompt - c.sent), aim=_PROMPT_AIM),
        Figure("job's end to its last output shown", "ms",
               _spans(cells, lambda c: c.output - c.files.ended), aim=_OUTPUT_AIM),
        Figure("job's end to the panel that says done", "ms",
               _spans(cells, lambda c: c.done - c.files.ended), aim=_OUTPUT_AIM),
        Figure("request to the panel that says done", "s",
               [span / 1000 for span in _spans(cells, lambda c: c.done - c.sent)]),
    ]  # fmt: skip
    return Section("Batch cells on Local, warm", figures)


def _spans(all_of_them: list[_T], span: Callable[[_T], float]) -> list[float]:
    """Milliseconds of a span of each."""
    return [1000 * span(one) for one in all_of_them]


def done(cell: Cell) -> float:
    """When the cell's panel said "done", or 0.

    Raises
    ------
    RuntimeError: it says another end, or the cell itself failed.
    """
    if cell.reply.get("status") == "error":
        raise RuntimeError(f"The batch cell failed: {cell.reply['ename']}: {cell.reply['evalue']}")
    for when, message in cell.outputs:
        state = panel_state(message)
        if state == "done":
            return when
        if state and ended(state):
            raise RuntimeError(f"The job didn't end well: {message['content']['data']['text/plain']}")
    return 0.0


def panel_state(message: Message) -> str:
    """The state that a panel shows; empty for other messages."""
    content = message["content"]
    if content.get("metadata", {}).get("ganga_kernel", {}).get("role") != "panel":
        return ""
    found = _PANEL.match(content["data"]["text/plain"])
    return found[1] if found else ""


def names(folder: Path) -> set[str]:
    """Names of what is in a folder, if it is there."""
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()
