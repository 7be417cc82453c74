"""What a kernel says, filed under the cells of a notebook as a front end does. No socket here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import output_from_msg

Message = dict[str, Any]

_OUTPUTS = ("stream", "display_data", "execute_result", "error")


class Outputs:
    """The outputs of code cells. Those that the cells had before are gone.

    Parameters
    ----------
    cells: all code cells of a notebook
    """

    def __init__(self, cells: Iterable[NotebookNode]) -> None:
        self._cells = [_Cell(cell) for cell in cells]

    def take(self, number: int, message: Message) -> None:
        """Take in an iopub message whose parent is the request of cell `number`, counted from 0.

        A display id belongs to the whole notebook: what is shown with it anew changes wherever it stands.
        """
        content = message["content"]
        display = content.get("transient", {}).get("display_id", "")
        if display:
            for cell in self._cells:
                cell.update(display, content)
        self._cells[number].take(message, display)


class _Cell:
    """One cell's outputs, with the display id of each, or an empty one."""

    def __init__(self, cell: NotebookNode) -> None:
        self._cell = cell
        self._displays: list[str] = []
        self._clear_first = False
        cell.outputs, cell.execution_count = [], None

    def update(self, display: str, content: dict[str, Any]) -> None:
        """Change the outputs that have this display id."""
        for output, its in zip(self._cell.outputs, self._displays, strict=True):
            if its == display:
                output.data, output.metadata = content["data"], content["metadata"]

    def take(self, message: Message, display: str) -> None:
        """Take in a message that belongs to this cell."""
        kind, content = message["msg_type"], message["content"]
        if kind == "execute_input":
            self._cell.execution_count = content["execution_count"]
        elif kind == "clear_output":
            self._clear_first = True
            if not content["wait"]:
                self._clear()
        elif kind in _OUTPUTS:
            if self._clear_first:
                self._clear()
            self._add(output_from_msg(message), display)  # type: ignore[no-untyped-call]

    def _clear(self) -> None:
        self._clear_first = False
        self._cell.outputs.clear()
        self._displays.clear()

    def _add(self, output: NotebookNode, display: str) -> None:
        """Add an output; more of the stream that spoke last continues what it said."""
        outputs = self._cell.outputs
        if output.output_type == "stream" and outputs and outputs[-1].get("name") == output.name:
            outputs[-1].text += output.text
        else:
            outputs.append(output)
            self._displays.append(display)
