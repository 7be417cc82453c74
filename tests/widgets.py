"""The buttons of ``%job`` as a front end sees and clicks them."""

from __future__ import annotations

from typing import Any

from tests.harness import Cell, Kernel

#: A batch cell that lasts until its test ends it.
ENDLESS = "%%batch\nimport time\nwhile True: time.sleep(0.1)"
VIEW = "application/vnd.jupyter.widget-view+json"


def button_of(cell: Cell) -> str:
    """The comm of the button that the cell shows."""
    opened = {
        content["comm_id"]: content["data"]["state"]
        for content in cell.of("comm_open")
        if content["target_name"] == "jupyter.widget"
    }
    return next(comm for comm, state in opened.items() if state.get("_model_name") == "ButtonModel")


def send(kernel: Kernel, kind: str, content: dict[str, Any], subshell: str | None = None) -> Cell:
    """Send a message of a comm, maybe to a subshell; what comes back for it."""
    message = kernel.client.session.msg(kind, content)
    if subshell is not None:
        message["header"]["subshell_id"] = subshell
    kernel.client.shell_channel.send(message)
    sent = kernel.cells[message["header"]["msg_id"]] = Cell(message["header"]["msg_id"])
    return sent


def click(kernel: Kernel, button: str, subshell: str | None = None) -> Cell:
    """Click a button, as a front end does."""
    data = {"method": "custom", "content": {"event": "click"}}
    return send(kernel, "comm_msg", {"comm_id": button, "data": data}, subshell)
