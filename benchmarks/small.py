"""A map of many items that take a tenth of a second each, beside bare procs that sleep as long."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time

from .client import GANGA, kernel
from .figures import Figure, Section
from .site import Site

#: Items, and seconds that each takes.
ITEMS, SECONDS = 1_000, 0.1
_BARE = """
import sys, time, htcondor2
folder, count, seconds = sys.argv[1], int(sys.argv[2]), sys.argv[3]
job = htcondor2.Submit({"executable": "/bin/sleep", "arguments": seconds, "log": f"{folder}/log",
                        "transfer_executable": "false", "should_transfer_files": "yes"})
begun, ended = time.time(), 0
htcondor2.Schedd().submit(job, count=count)
while ended < count:
    time.sleep(0.05)
    with open(f"{folder}/log") as file:
        ended = sum(line.startswith("005 (") for line in file)
print("TOOK", time.time() - begun, flush=True)
"""


def measure(site: Site, quick: bool) -> Section:
    """From the request of a map to the reply of a cell that reads what it binds."""
    ours, bare = [], []
    with kernel(GANGA, site) as one:
        one.execute("import time")
        for _ in range(1 if quick else 3):
            begun = time.time()
            one.send(
                f"%%batch --backend HTCondor --map i=range({ITEMS})\ntime.sleep({SECONDS})\nsquare = i * i"
            )
            value = one.send("sum(square)")
            one.listen(lambda: value.answered)  # noqa: B023 (it is of this round)
            if not any(str(sum(i * i for i in range(ITEMS))) in str(said) for _, said in value.outputs):
                raise RuntimeError("The results aren't what they should be.")
            ours.append(time.time() - begun)
            bare.append(_bare(site))
    what = f"{ITEMS:,} items of {SECONDS} s: request to all results in the notebook"
    versus = f"{ITEMS:,} procs of `sleep {SECONDS}`, to the last JOB_TERMINATED"
    notes = [
        "All slots of the pool together sleep for "
        f"{ITEMS * SECONDS / 16:.2f} s if there are 16 of them; the machine has fewer cores. The bare procs "
        "load no Python and bring nothing back."
    ]
    return Section("A map of small items", [Figure(what, "s", ours, bare, versus, "10 s")], notes)


def _bare(site: Site) -> float:
    """Seconds that bare procs take, submitted by a process of their own."""
    with tempfile.TemporaryDirectory(dir=site.root) as folder:
        said = subprocess.run(
            [sys.executable, "-c", _BARE, folder, str(ITEMS), str(SECONDS)], env=site.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    return float(next(line for line in said.splitlines() if line.startswith("TOOK")).split()[1])
