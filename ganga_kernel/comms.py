"""The comms that the grid kernel opened: their messages go to it, all others to the inner kernel. Pure."""

from __future__ import annotations

from typing import Any

#: Targets of ipywidgets': a widget, and the comm by which a page that was loaded anew asks for all at once.
_WIDGET, _CONTROL = "jupyter.widget", "jupyter.widget.control"


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

    def declines(self, comm_open: dict[str, Any]) -> bool:
        """Whether a comm that the front end opens can't be served by one kernel alone.

        This is ipywidgets' control comm: a page would take the first kernel's widgets for all that there are.
        Where it is closed, the page asks for the list of comms, which has both kernels', and then each widget
        for its state.
        """
        return comm_open.get("target_name") == _CONTROL and _WIDGET in self._targets.values()

    def info(self, target: str | None) -> dict[str, dict[str, str]]:
        """The grid kernel's part of a comm_info reply; `target` as in the request."""
        return {
            comm_id: {"target_name": name}
            for comm_id, name in self._targets.items()
            if target in (None, name)
        }
