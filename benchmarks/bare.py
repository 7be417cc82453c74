"""The same job without us: bare htcondor2 submits what Ganga submitted for a batch cell.

A process of its own submits (``python -m benchmarks.bare``), since the bindings hold the GIL meanwhile, and
the event log is to be watched at the same time.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .jobfiles import JobFiles, watch
from .site import Site


@dataclass(frozen=True)
class BareJob:
    """When things happened to a job, in unix seconds.

    Attributes
    ----------
    begun: submission began
    returned: it was over
    files: the rest
    """

    begun: float
    returned: float
    files: JobFiles


class BareCondor:
    """Submits the newest batch cell's job again and again: its description, its files, its payload.

    Neither kernel, broker nor Ganga takes part.

    Parameters
    ----------
    more: further submit commands
    """

    def __init__(self, site: Site, more: dict[str, str] | None = None) -> None:
        self._site = site
        saved = max((site.state / "gangadir").rglob("condor.json"), key=lambda path: path.stat().st_mtime)
        job = json.loads(saved.read_text())
        self._text = json.dumps({**job, "description": {**job["description"], **(more or {})}})
        self._folder = Path(job["description"]["initialdir"])
        self._submitter = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bare"], cwd=Path(__file__).resolve().parents[1],
            env=site.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._answer()

    def close(self) -> None:
        """End the process that submits."""
        self._submitter.communicate()

    def run(self) -> BareJob:
        """Submit the job, and wait for its end."""
        [files] = self._submit(1)
        watch([files], lambda: files.terminated and files.arrived)
        answer = self._answer()
        return BareJob(answer["begun"], answer["returned"], files)

    def queue(self, is_queued: Callable[[Path], float]) -> float:
        """Submit the job, and remove it; seconds until it was in the queue.

        Parameters
        ----------
        is_queued: waits until a job is, given its folder, and returns when that was
        """
        [files] = self._submit(1)
        queued = is_queued(files.folder)
        answer = self._answer()
        self._ask({"remove": answer["cluster"]})
        self._answer()
        return queued - answer["begun"]

    def run_all(self, jobs: int) -> float:
        """Submit the job so many times, one after the other; seconds until all are in the queue."""
        files = self._submit(jobs)
        watch(files, lambda: all(one.submitted for one in files))
        return max(one.submitted for one in files) - min(self._answer()["begun"] for _ in files)

    def _submit(self, jobs: int) -> list[JobFiles]:
        """Have the process begin to submit; it answers once a job."""
        folders = [self._new_folder() for _ in range(jobs)]
        self._ask(*(json.loads(self._text.replace(str(self._folder), str(folder))) for folder in folders))
        return [JobFiles(folder) for folder in folders]

    def _ask(self, *lines: dict[str, Any]) -> None:
        assert self._submitter.stdin is not None
        self._submitter.stdin.write("".join(json.dumps(line) + "\n" for line in lines))
        self._submitter.stdin.flush()

    def _answer(self) -> dict[str, float]:
        assert self._submitter.stdout is not None
        found: dict[str, float] = json.loads(self._submitter.stdout.readline())
        return found

    def _new_folder(self) -> Path:
        (self._site.root / "bare").mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._site.root / "bare"))
        shutil.copy(self._folder / "job.json", folder)
        # The payload deletes its key, so the job gets a fresh copy.
        shutil.copy(self._folder / "secret", folder / "key")
        return folder


def submit_for_ever() -> None:
    """Submit what the lines of standard input describe; say when each submission began and returned.

    A line may also name a cluster that is to be removed.
    """
    import htcondor2

    schedd = htcondor2.Schedd()
    print("{}", flush=True)
    for line in sys.stdin:
        job: Any = json.loads(line)
        cluster = job.get("remove")
        begun = time.time()
        if cluster:
            schedd.act(htcondor2.JobAction.Remove, str(cluster))
        else:
            description = htcondor2.Submit(job["description"])
            cluster = schedd.submit(description, itemdata=iter(job["items"])).cluster()
        print(json.dumps({"begun": begun, "returned": time.time(), "cluster": cluster}), flush=True)


if __name__ == "__main__":
    submit_for_ever()
