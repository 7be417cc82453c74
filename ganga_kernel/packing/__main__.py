"""``python -m ganga_kernel.packing OBJECTS JOB``: packs the environment of a job, in a process of its own.

JOB is the job's description (``job.json``), OBJECTS the folder of the packs. It writes the pack's path, or
ends with 1 and a sentence on standard error.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from ..errors import BackendError
from .pack import pack


def main(arguments: list[str]) -> int:
    """Pack one environment."""
    objects, description = map(Path, arguments)
    described = json.loads(description.read_text())
    try:
        path = pack(described["python"], described["sys_path"], described["environ"], objects)
    except BackendError as error:
        print(error, file=sys.stderr)
        return 1
    print(path)
    return 0


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is half done is removed
sys.exit(main(sys.argv[1:]))
