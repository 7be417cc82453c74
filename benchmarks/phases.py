"""Where a warm batch cell's time goes: kernel and broker with stopwatches at the seams between their parts.

    python -m benchmarks.phases kernel -f FILE
    python -m benchmarks.phases broker

are the two processes with the stopwatches in place; they write what they measure to the file that
$GK_BENCH_PHASES names. `measure` starts them and reads it. A seam that a change of the code has moved is left
out, rather than an error.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .client import Kernel, kernel
from .figures import Figure, Section
from .site import Site

_FILE = "GK_BENCH_PHASES"
_ROOT = str(Path(__file__).resolve().parents[1])

#: What a stopwatch writes: the seam, its first argument, begin and end (unix seconds), and a word on the
#: result.
Record = dict[str, Any]

#: Seams of the kernel's process, and of the broker's: module, class (or none), function.
_SEAMS = {
    "kernel": [
        ("ganga_kernel.kernel", "GangaKernel", "execute_request"),
        ("ganga_kernel.notebook", "Notebook", "run"),
        ("ganga_kernel.calls", "Bridge", "call"),
        ("ganga_kernel.spool", "Spool", "__init__"),
        ("ganga_kernel.spool", "Spool", "new_job"),
        ("ganga_kernel.broker.client", "BrokerClient", "ask"),
        ("ganga_kernel.cells", "LiveCell", "update"),
        ("ganga_kernel.cells", "LiveCell", "draw"),
    ],
    "broker": [
        ("ganga_kernel.broker.jobs", "Jobs", "add"),
        ("ganga_kernel.broker.backends", "", "check"),
        ("ganga_kernel.broker.store", "Store", "add"),
        ("ganga_kernel.spool", "", "renew_key"),
        ("ganga_kernel.broker.backends", "", "prepare"),
        ("ganga_kernel.broker.session", "GangaSession", "submit"),
        ("ganga_kernel.condor.schedd", "Schedd", "submit"),
        ("ganga_kernel.broker.stream", "EventStream", "read"),
        ("ganga_kernel.broker.server", "Server", "_tell"),
    ],
}


# ---------------------------------------------------------------------- in the measured processes


def main(role: str) -> None:
    """Put the stopwatches in place, and be that process."""
    with open(os.environ[_FILE], "a", buffering=1) as file:
        for module, owner, name in _SEAMS[role]:
            _put(file.write, module, owner, name)
        if role == "broker":
            from ganga_kernel.broker.__main__ import main as serve

            sys.exit(serve())
        from ganga_kernel.__main__ import main as be_kernel

        be_kernel()


def _put(write: Callable[[str], object], module: str, owner: str, name: str) -> None:
    place: Any = importlib.import_module(module)
    if owner:
        place = getattr(place, owner, None)
    original = getattr(place, name, None)
    if original is None:
        return
    seam = f"{owner or module.rpartition('.')[2]}.{name}"

    def note(arguments: tuple[Any, ...], begin: float, result: Any) -> None:
        first = next((a for a in arguments if isinstance(a, str)), "")
        record = {"seam": seam, "of": first[:40], "begin": begin, "end": time.time(),
                  "said": _word(arguments, result)}  # fmt: skip
        write(json.dumps(record) + "\n")

    @functools.wraps(original)
    async def timed_coroutine(*arguments: Any, **named: Any) -> Any:
        begin = time.time()
        result = await original(*arguments, **named)
        note(arguments, begin, result)
        return result

    @functools.wraps(original)
    def timed(*arguments: Any, **named: Any) -> Any:
        begin = time.time()
        result = original(*arguments, **named)
        note(arguments, begin, result)
        return result

    setattr(place, name, timed_coroutine if inspect.iscoroutinefunction(original) else timed)


def _word(arguments: tuple[Any, ...], result: Any) -> str:
    """What matters of a call: the state that a job is in, or that a stream has ended."""
    for one in arguments:
        job = one.get("job", one) if isinstance(one, dict) else None
        if isinstance(job, dict) and "state" in job:
            return str(job["state"])
    events = result[1] if isinstance(result, tuple) and len(result) == 2 else []
    if isinstance(events, list) and any(isinstance(e, dict) and e.get("event") == "end" for e in events):
        return "end"
    return ""


# ---------------------------------------------------------------------- in the benchmark's process


def measure(site: Site, backend: str, quick: bool) -> Section:
    """Run batch cells under the stopwatches, and say how long each phase took."""
    from .batch import BatchCell, a_cell, run_cell

    file = site.root / "phases"
    timed = Site(site.root, {**site.environment, _FILE: str(file), "PYTHONPATH": _ROOT})
    command = [sys.executable, "-m", "benchmarks.phases"]
    broker = subprocess.Popen(
        [*command, "broker"], env=timed.environment, stdout=subprocess.PIPE, start_new_session=True
    )
    assert broker.stdout is not None
    broker.stdout.readline()  # it is ready
    cells: list[BatchCell] = []
    try:
        with kernel([*command, "kernel"], timed) as one:
            _settle(one)
            for number in range(6 if quick else 20):
                cells.append(run_cell(one, timed, backend, a_cell(number)))
                time.sleep(0.3)
    finally:
        broker.terminate()
        broker.wait(30)
    records = [json.loads(line) for line in file.read_text().splitlines()]
    cells = cells[2:]  # the first ones are not warm
    return Section(
        f"Where the time of a warm batch cell on {backend} goes",
        [*_phases(cells, records, _BEFORE), *_instants(cells, records, _AFTER)],
        ["Under stopwatches, which cost a little themselves. Indented phases are part of the one above them. "
         "In the second half, times count from the job's end."],
    )  # fmt: skip


def _settle(one: Kernel) -> None:
    for _ in range(5):
        one.execute("pass")
    time.sleep(2)  # the broker loads Ganga


#: Seam, what it is of (a prefix), and what to call it: phases between the request and the prompt, then after.
_BEFORE = [
    ("GangaKernel.execute_request", "", "all of it in the grid kernel"),
    ("Bridge.call", "begin", "  In[n] and capture of names (begin)"),
    ("Spool.__init__", "", "  spool folders"),
    ("Spool.new_job", "", "  job's files in the spool"),
    ("BrokerClient.ask", "submit", "  broker accepts (submit)"),
    ("backends.check", "", "    is the schedd there? (query)"),
    ("Store.add", "", "    stored durably (fsync)"),
    ("Bridge.call", "place", "  placeholders (place)"),
    ("GangaSession.submit", "", "then: Ganga's submit, in the broker"),
    ("Schedd.submit", "", "  Schedd.submit in it"),
]
#: Seam, what it is of, what was said: moments after the job's end.
_AFTER = [
    ("EventStream.read", "", "end", "the broker has read the payload's last event"),
    ("Server._tell", "job", "done", "the broker has the result and says done"),
    ("LiveCell.update", "", "done", "the grid kernel has heard it"),
    ("Bridge.call", "deliver", "", "the names are delivered"),
]


def _phases(cells: list[Any], records: list[Record], seams: Iterable[tuple[str, str, str]]) -> list[Figure]:
    figures = [Figure("request to prompt", "ms", [1000 * (c.prompt - c.sent) for c in cells])]
    for seam, of, title in seams:
        spans = [_total(cell, records, seam, of) for cell in cells]
        known = [1000 * span for span in spans if span is not None]
        if known:
            figures.append(Figure(title, "ms", known))
    return figures


def _total(cell: Any, records: list[Record], seam: str, of: str) -> float | None:
    """Seconds of the phase's first occurrence after the cell was sent."""
    found = [r for r in records if r["seam"] == seam and r["of"].startswith(of)
             and cell.sent <= r["begin"] <= cell.done]  # fmt: skip
    return found[0]["end"] - found[0]["begin"] if found else None


def _instants(
    cells: list[Any], records: list[Record], moments: Iterable[tuple[str, str, str, str]]
) -> list[Figure]:
    figures = []
    for seam, of, said, title in moments:
        times = []
        for cell in cells:
            found = [r["end"] for r in records if r["seam"] == seam and r["of"].startswith(of)
                     and r["said"] == said and cell.files.ended <= r["end"] <= cell.done + 0.1]  # fmt: skip
            times += [1000 * (found[0] - cell.files.ended)] if found else []
        if times:
            figures.append(Figure(f"job's end, {title} after", "ms", times))
    shown = [1000 * (cell.done - cell.files.ended) for cell in cells]
    figures.append(Figure("job's end, the panel says done after", "ms", shown))
    return figures


if __name__ == "__main__":
    main(sys.argv.pop(1))
