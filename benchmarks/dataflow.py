"""Many batch cells at once, and big or many names: beside bare submits, and beside a bare cloudpickle."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path

from ganga_kernel.states import ended

from .bare import BareCondor
from .batch import a_cell, names, panel_state, run_cell
from .client import GANGA, Cell, Kernel, kernel
from .figures import Figure, Section
from .jobfiles import TICK, JobFiles
from .site import Site

#: Cells of the notebook that is run as a whole.
_CELLS = 50
#: No slot offers this, so no job starts: what a job takes of this machine isn't what submitting takes.
_NOWHERE = "TARGET.OfTheBenchmark =?= true"
_RUN_ALL_AIM, _DATA_AIM = "3 x", "1.3 x"

_ARRAY, _NAMES = 125_000_000, 1000
_SETUP = f"""
import json, os, time
import cloudpickle, numpy

big = numpy.arange({_ARRAY}, dtype="f8")
small = {{f"name_{{number}}": [number, str(number)] for number in range({_NAMES})}}
globals().update(small)


def bare(value):
    began = time.perf_counter()
    with open("bare.pkl", "wb") as file:
        cloudpickle.dump(value, file, protocol=5)
    dumped = time.perf_counter()
    with open("bare.pkl", "rb") as file:
        cloudpickle.load(file)
    loaded = time.perf_counter()
    os.unlink("bare.pkl")
    print(json.dumps([dumped - began, loaded - dumped]))
"""
#: NumPy is imported on the worker before the cell begins, whatever the cell reads.
_CELL = "numpy\nprint(time.time())\n{}\nprint(time.time())"
_READ_BIG, _RETURN_BIG = "big", f"back = numpy.full({_ARRAY}, 1.0)"
_READ_NAMES = ", ".join(f"name_{number}" for number in range(_NAMES))
_RETURN_NAMES = "\n".join(
    ["back = 0", *(f"new_{number} = [{number}, '{number}']" for number in range(_NAMES))]
)
_NOTHING = "back = 0"


@dataclass(frozen=True)
class _Journey:
    """Seconds that names take, on both sides.

    Attributes
    ----------
    capture: request to prompt, or the bare dump
    load: the job's start to its cell's begin, or the bare load
    write: the cell's end to the job's end, or the bare dump
    deliver: the job's end to the prompt of the next cell, which reads what it bound, or the bare load
    """

    capture: float
    load: float
    write: float
    deliver: float

    def over(self, other: _Journey) -> _Journey:
        """What is more than another one's."""
        return _Journey(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


# ---------------------------------------------------------------------- Run All


def run_all(site: Site, quick: bool) -> Section:
    """A notebook of independent batch cells, sent all at once to HTCondor, beside bare submits."""
    ours: list[tuple[float, float]] = []
    bare: list[float] = []
    with kernel(GANGA, site) as one:
        run_cell(one, site, "HTCondor", a_cell(0))
        _run_all(one, site, 1)
        with closing(BareCondor(site)) as submitter:
            for _ in range(1 if quick else 5):
                ours.append(_run_all(one, site, _CELLS))
                bare.append(submitter.run_all(_CELLS))
                _remove_all(site)
    versus = f"{_CELLS} x Schedd.submit"
    figures = [
        Figure(f"all {_CELLS} in the queue (SUBMIT in the log)", "s", [queued for queued, _ in ours], bare,
               versus, _RUN_ALL_AIM),
        Figure(f"all {_CELLS} prompts are back", "s", [prompts for _, prompts in ours]),
    ]  # fmt: skip
    notes = [
        "Times from the first request on. The bare job is the batch cell's own, submitted again by htcondor2 "
        "alone. The jobs' requirements let none of them start, so their load isn't measured."
    ]
    return Section(f"Run All of {_CELLS} batch cells on HTCondor", figures, notes)


def _run_all(one: Kernel, site: Site, number: int) -> tuple[float, float]:
    """Seconds until all jobs are in the queue, and until all prompts are back."""
    known = names(site.jobs)
    files: dict[str, JobFiles] = {}
    batch = {"tags": ["batch"], "batch": {"backend": "HTCondor", "requirements": _NOWHERE}}
    looked = 0.0
    cells = [one.send(f"x{n} = {n}\nprint('said', x{n})", batch) for n in range(number)]

    def queued() -> bool:
        nonlocal looked
        if time.time() - looked < TICK:  # a message came meanwhile; each look takes of what is measured
            return False
        for name in names(site.jobs) - known - {*files} if len(files) < number else ():
            files[name] = JobFiles(site.jobs / name)
        for file in files.values():
            if not file.submitted:
                file.look()
        looked = time.time()
        return len(files) == number and all(file.submitted for file in files.values())

    one.listen(lambda: queued() and all(cell.answered for cell in cells), TICK)
    begun = cells[0].sent
    _remove_all(site)
    one.listen(lambda: all(_over(cell) for cell in cells))
    return max(file.submitted for file in files.values()) - begun, cells[-1].sent + cells[-1].took - begun


def _over(cell: Cell) -> bool:
    states = (panel_state(message) for _, message in cell.outputs)
    return any(ended(state) for state in states if state)


def _remove_all(site: Site) -> None:
    """Remove the site's jobs from the queue, and no others."""
    import htcondor2

    schedd = htcondor2.Schedd()
    schedd.act(htcondor2.JobAction.Remove, f'regexp("^{re.escape(str(site.root))}/", Iwd)')


# ---------------------------------------------------------------------- names


def data(site: Site, quick: bool) -> Section:
    """Names to a job of the Local backend and back, beside cloudpickle on the same disk."""
    rounds = 1 if quick else 5
    with kernel(GANGA, site) as one:
        one.execute(_SETUP)
        run_cell(one, site, "Local", _CELL.format(_NOTHING))
        big = _Comparison(one, site, "big", _READ_BIG, _RETURN_BIG, rounds)
        small = _Comparison(one, site, "small", _READ_NAMES, _RETURN_NAMES, rounds)
    figures = [*big.figures("1 GB array"), *small.figures(f"{_NAMES:,} names")]
    notes = [
        "The bare thing is cloudpickle.dump and load, in the notebook's process, of the array, or of a dict "
        "of the names. What a cell that binds 0 to a name takes is subtracted from ours.",
    ]
    return Section("Names to a batch cell and back", figures, notes)


class _Comparison:
    """Samples of names that travel to a job, of names that come from one, and of a bare dump and load."""

    def __init__(self, one: Kernel, site: Site, value: str, read: str, bind: str, rounds: int) -> None:
        self._to: list[_Journey] = []
        self._back: list[_Journey] = []
        self._bare: list[_Journey] = []
        for _ in range(rounds):
            self._bare.append(_bare(one, value))
            nothing = _journey(one, site, _NOTHING)
            self._to.append(_journey(one, site, read).over(nothing))
            self._back.append(_journey(one, site, bind).over(nothing))

    def figures(self, what: str) -> list[Figure]:
        """Rows of a table."""
        both = "dump and load"
        return [
            self._row(f"{what} to the job", self._to, lambda j: j.capture + j.load, both, _DATA_AIM),
            self._row("  request to prompt", self._to, lambda j: j.capture, "dump"),
            self._row("  job's start to cell's begin", self._to, lambda j: j.load, "load"),
            self._row(f"{what} from the job", self._back, lambda j: j.write + j.deliver, both, _DATA_AIM),
            self._row("  cell's end to job's end", self._back, lambda j: j.write, "dump"),
            self._row(
                "  job's end to the prompt of a cell that reads it", self._back, lambda j: j.deliver, "load"
            ),
        ]

    def _row(
        self, what: str, ours: list[_Journey], of: Callable[[_Journey], float], versus: str, aim: str = ""
    ) -> Figure:
        spans, bare = ([1000 * of(one) for one in journeys] for journeys in (ours, self._bare))
        return Figure(what, "ms", spans, bare, versus, aim)


def _bare(one: Kernel, value: str) -> _Journey:
    cell = one.execute(f"bare({value})")
    dump, load = json.loads(cell.outputs[-1][1]["content"]["text"])
    return _Journey(dump, load, dump, load)


def _journey(one: Kernel, site: Site, code: str) -> _Journey:
    """Run a batch cell; what it wrote goes then, so that the disk needn't hold all of it."""
    cell = run_cell(one, site, "Local", _CELL.format(code))
    reader = one.execute("back")
    folder = cell.files.folder
    started, begun, over, ended = _times(folder)
    job = json.loads((folder / "job.json").read_text())
    for path in (job["namespace"], *job["buffers"], folder / "0.result"):
        Path(path).unlink()
    return _Journey(cell.prompt - cell.sent, begun - started, ended - over, reader.sent + reader.took - ended)


def _times(folder: Path) -> tuple[float, float, float, float]:
    """When the job started, when its cell began and was over (it says so itself), and when the job ended."""
    events = [json.loads(line) for line in (folder / "0.events").read_text().splitlines()]
    outputs = [event["output"]["content"] for event in events if event["event"] == "output"]
    begun, over = map(float, "".join(content["text"] for content in outputs).split())
    return events[0]["time"], begun, over, events[-1]["time"]
