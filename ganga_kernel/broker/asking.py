"""Questions to HTCondor's daemons, each to a process that can be ended: see `ganga_kernel.condor.whyidle`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

#: Seconds in which the answer must be there.
_LIMIT = 30.0


async def ask(module: str, question: Any) -> Any:
    """What a module of `ganga_kernel.condor` answers, both as plain data.

    Raises
    ------
    OSError: its process can't be started, takes too long, or says why it can't tell.
    ValueError: it is no answer.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"ganga_kernel.condor.{module}",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        said, errors = await asyncio.wait_for(process.communicate(json.dumps(question).encode()), _LIMIT)
    except TimeoutError as late:
        raise OSError(f"no answer within {_LIMIT:.0f} s") from late
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise OSError(errors.decode(errors="replace").strip())
    return json.loads(said)
