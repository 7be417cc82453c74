"""What travels between grid kernels and the broker: JSON objects over a private ZeroMQ ipc socket.

A request is ``{"id": n, "op": name, …arguments}``; its answer ``{"id": n, "result": …}`` or
``{"id": n, "error": {…}}`` (see `ganga_kernel.errors.to_wire`). What the broker sends unasked is numbered
for each client: ``{"event": n, "epoch": e, "kind": "job" | "output" | "restart", …}``. A client that misses
a number, or sees another epoch (the broker is a new one), asks for a snapshot with ``follow``. A client that
was silent for long is forgotten; it is answered ``"stranger": true`` and has to say ``hello`` again.

Operations
----------
hello     protocol, version → epoch, version. The first message.
submit    a job, see `SUBMIT` → the job. Returns when the job is stored durably.
describe  a job, see `SUBMIT` → what submitting it would do: ``backend``, ``files``, ``called`` and ``lines``.
follow    job, after → the job, its outputs from number `after` on, and the number of the first that counts;
          events of the job from now on.
          The outputs of a map aren't told; see ``results``.
results   job → of a map that has ended: what each task left, and the outputs of the first items.
resubmit  job, and see `RESUBMIT` → the new job, which does the same or what failed of it.
jobs      limit → the newest jobs, newest first.
logs      job, task → what is left of its tasks, those that ended badly first: ``tasks``; and the backend's
          log. Of one task, or of an only one, also what its cell wrote.
read      job, task, what, after → what a task has written since ``after``; see `reading.read`.
kill      job, task (null: all of it) → the job.
act       job, action ("hold", "release") → how many of its tasks it changed.
change    job, resources → the job, for which these are asked from its next start on.
delivered job → None. The notebook has the job's results.
status    → what the broker is, and how Ganga is.
ping      → epoch.
bye       no answer: the client goes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ..folders import runtime_folder
from ..settings import GangaKernel

#: Version of the protocol; both sides must have the same.
PROTOCOL = 9

#: The fields of a submitted job. `after`: the jobs whose names it takes, as the bridge's `capture` says.
#: `fingerprints`: under which the same cell's job may be known; this one is stored under the first.
#: `map`: null, or as `ganga_kernel.payload.job.Mapped` has it, with ``count``, how many items the cell has.
SUBMIT = (
    "token", "notebook", "cell", "source", "execution_count", "label", "backend", "resources", "folder",
    "names", "tasks", "python", "after", "map", "fingerprints",
)  # fmt: skip
#: What else is told of a job that is submitted once more: the new one's token; whether only failed items
#: run; what is asked for in place of before; In[n] of the cell that asks.
RESUBMIT = ("token", "failed", "resources", "execution_count")


def encode(message: dict[str, Any]) -> bytes:
    """One message as bytes."""
    return json.dumps(message, separators=(",", ":")).encode()


def decode(frame: bytes) -> dict[str, Any]:
    """The message in a frame.

    Raises
    ------
    ValueError: it isn't a JSON object.
    """
    found = json.loads(frame)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def socket_path(settings: GangaKernel) -> Path:
    """Where the broker of a state folder listens on this host."""
    digest = hashlib.sha256(str(settings.state).encode()).hexdigest()[:16]
    return runtime_folder() / f"broker-{digest}"
