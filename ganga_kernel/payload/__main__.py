"""The command.

    PYTHON payload.pyz --job PATH/job.json --task 0 --attempt 1 [--events FILE] [--result FILE]

Exit code: 0 the cell ran; 1 it, or an item of its map, raised; 3 the payload could not do its work;
143 the batch system ended it.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import threading
import traceback
from pathlib import Path

from .events import EventStream
from .job import PayloadError
from .run import BROKEN, Payload

#: Seconds that threads and exit functions of the cell have after its end.
_GRACE = 10.0


def main(archive: str | None = None) -> int:
    """Run the cell that the command line names; returns the exit code.

    Parameters
    ----------
    archive: path of the archive that this code comes from; None if it comes from a folder
    """
    parser = argparse.ArgumentParser(prog="payload", description="Runs one cell of a notebook.")
    parser.add_argument("--job", type=Path, required=True, help="the job description")
    parser.add_argument("--task", type=int, required=True, help="number of the task in its job")
    parser.add_argument("--attempt", type=int, default=1, help="how often it was started")
    parser.add_argument("--events", type=Path, help="file for events; default: standard output")
    parser.add_argument("--result", type=Path, help="file for the result; default: beside the job")
    parser.add_argument("--errors", type=Path, help="file for what is no event; default: standard error")
    options = parser.parse_args()
    job = options.job.absolute()
    result = (options.result or job.parent / f"{options.task}.result").absolute()

    # By default the launcher's own standard error: file descriptor 2 will be the cell's.
    errors = os.fdopen(_opened(options.errors, 2), "w")
    faulthandler.enable(errors)
    events = EventStream(_opened(options.events, 1), options.attempt)
    payload = Payload(events, job, options.task, result, archive)
    try:
        code = payload.run()
    except PayloadError as error:
        code = _broken(payload, "PayloadError", str(error), errors)
    except Exception as error:  # noqa: BLE001 - a mistake of ours must be heard of, too
        traceback.print_exc(file=errors)
        sentence = f"The payload failed: {error}. This is a mistake in ganga-kernel."
        code = _broken(payload, type(error).__name__, sentence, errors)
    # The cell's files are flushed and its exit functions run, but a thread that goes on can't keep
    # the slot.
    watchdog = threading.Timer(_GRACE, os._exit, [code])
    watchdog.daemon = True
    watchdog.start()
    # No thread of Python's runs any more once the interpreter takes itself down; this one is C's.
    faulthandler.dump_traceback_later(2 * _GRACE, exit=True, file=errors)
    return code


def _opened(path: Path | None, fd: int) -> int:
    """A descriptor to append to a private file; without a path, a copy of `fd`."""
    return os.dup(fd) if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _broken(payload: Payload, kind: str, sentence: str, errors: object) -> int:
    print("ganga-kernel: " + sentence, file=errors, flush=True)  # type: ignore[call-overload]
    payload.end("broken", {"ename": kind, "evalue": sentence, "traceback": [sentence]})
    return BROKEN


if __name__ == "__main__":
    sys.exit(main())
