"""``python -m ganga_kernel.broker``: started by the first kernel that needs it, detached.

It says one line of JSON on its standard output, ``{"ready": …}`` or ``{"error": …}``, and then nothing more;
it logs to ``broker.log`` in the state folder.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from typing import Any

from .. import settings as site
from ..errors import GangaKernelError, to_wire
from ..folders import private_folder
from .lease import Lease
from .server import Server


def main() -> int:
    """Serve until nobody needs it. Returns 0, or 1 if it couldn't start."""
    try:
        settings = site.load()
        os.umask(0o077)
        private_folder(settings.state)
        private_folder(settings.spool)
        lease = Lease(settings.state)
        if not lease.acquire():
            _say({"ready": False})
            return 0
    except GangaKernelError as error:
        _say({"error": to_wire(error)})
        return 1
    try:
        server = Server(settings, lease)
    except GangaKernelError as error:
        lease.release()
        _say({"error": to_wire(error)})
        return 1
    asyncio.run(server.run(lambda: _ready(settings)))
    lease.release()
    return 0


def _ready(settings: site.GangaKernel) -> None:
    """Say so, and let go of the terminal: from here on everything goes to the log."""
    _say({"ready": True})
    log = os.open(settings.state / "broker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(nothing)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.info("broker %s started", os.getpid())


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
