"""The comms that the grid kernel opened: their messages go to it, all others to the inner kernel. Pure."""

from __future__ import annotations

from typing import Any


class GridComms:
    """Which comms the grid kernel has open, learnt from what it publishes."""

    def __init__(self) -> None:
        self._targets: dict[str, str] = {}

    def __contains__(self, comm_id: object) -> bool:
        return comm_id in self._targets

    def __bool__(self) -> bool:
        return bool(self._targets)

    def published(self, kind: str, content: dict[str, Any]) -> None:
        """The grid kernel published a message."""
        if kind == "comm_open":
            self._targets[content["comm_id"]] = content.get("target_name", "")
        elif kind == "comm_close":
            self.closed(content.get("comm_id", ""))

    def closed(self, comm_id: str) -> None:
        """The front end closed a comm."""
        self._targets.pop(comm_id, None)

    def info(self, target: str | None) -> dict[str, dict[str, str]]:
        """The grid kernel's part of a comm_info reply; `target` as in the request."""
        return {
            comm_id: {"target_name": name}
            for comm_id, name in self._targets.items()
            if target in (None, name)
        }
