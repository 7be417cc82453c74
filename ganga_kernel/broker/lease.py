"""Who owns the state folder: a lock for this host, a lease file for all hosts that share the folder.

The lease says host, pid, boot id and the time of the last heartbeat. A broker on another host asks for it by
writing ``handover.json``; the owner ends, if nobody is connected and no local job runs, and is left alone
otherwise. A lease without a heartbeat for a minute counts as abandoned.
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import BrokerElsewhere

#: Seconds between heartbeats, after which a lease counts as abandoned, and to wait for a handover.
HEARTBEAT, ABANDONED, PATIENCE = 5.0, 60.0, 15.0


class Lease:
    """The ownership of a state folder; see the module's docstring."""

    def __init__(self, state: Path) -> None:
        self._lock = FileLock(state / "broker.lock")
        self._file = state / "lease.json"
        self._wish = state / "handover.json"

    def acquire(self) -> bool:
        """Take the folder. False if another process on this host has it.

        Raises
        ------
        BrokerElsewhere: a live broker on another host has it and keeps it.
        """
        deadline = time.monotonic() + PATIENCE
        while not self._try():
            owner = _read(self._file)
            if not is_elsewhere(owner):
                return False
            _write(self._wish, _me())
            if time.monotonic() > deadline:
                self._wish.unlink(missing_ok=True)
                raise BrokerElsewhere(
                    f"The broker on {owner['host']} (pid {owner['pid']}) owns the state folder "
                    f"{self._file.parent} and is in use.",
                    f"Close the notebooks on {owner['host']}, or set another "
                    "GangaKernel.state_dir for this host.",
                )
            time.sleep(HEARTBEAT / 10)
        self._wish.unlink(missing_ok=True)
        self.beat()
        return True

    def _try(self) -> bool:
        """Take the lock, unless a broker on another host, whose lock may not be seen here, is alive."""
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        owner = _read(self._file)
        if is_elsewhere(owner) and time.time() - float(owner.get("heartbeat", 0)) < ABANDONED:
            self._lock.release()
            return False
        return True

    def beat(self) -> None:
        """Say that the owner is alive."""
        _write(self._file, {**_me(), "heartbeat": time.time()})

    def wanted(self) -> bool:
        """Whether a broker on another host asks for the folder."""
        wish = _read(self._wish)
        return bool(wish) and wish.get("host") != _me()["host"]

    def release(self) -> None:
        """Give the folder up."""
        self._wish.unlink(missing_ok=True)
        self._file.unlink(missing_ok=True)
        self._lock.release()


def owner(state: Path) -> dict[str, Any]:
    """Who has a state folder, or had it and ended without a word: host, pid, heartbeat; empty if nobody."""
    return _read(state / "lease.json")


def is_elsewhere(owner: dict[str, Any]) -> bool:
    """Whether an owner is on another host."""
    return bool(owner) and owner.get("host") != _me()["host"]


def _me() -> dict[str, Any]:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "boot": boot.read_text().strip() if boot.exists() else "",
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(json.dumps(content))
    new.replace(path)
