"""Messages filed under a notebook's cells."""

from __future__ import annotations

from typing import Any

from nbformat.v4 import new_code_cell, new_output

from ganga_kernel.headless.outputs import Outputs


class Page:
    """Two cells, and messages to them."""

    def __init__(self) -> None:
        self.cells = [new_code_cell("a"), new_code_cell("b")]
        self.cells[0].outputs = [new_output("stream", text="of an earlier run")]
        self._outputs = Outputs(self.cells)

    def say(self, cell: int, kind: str, **content: Any) -> None:
        self._outputs.take(cell, {"msg_type": kind, "header": {"msg_type": kind}, "content": content})

    def stream(self, cell: int, text: str, name: str = "stdout") -> None:
        self.say(cell, "stream", name=name, text=text)

    def show(self, cell: int, text: str, display: str = "", kind: str = "display_data") -> None:
        transient = {"display_id": display} if display else {}
        self.say(cell, kind, data={"text/plain": text}, metadata={}, transient=transient)

    def shown(self, cell: int) -> list[str]:
        outputs = self.cells[cell].outputs
        return [output.text if "text" in output else output.data["text/plain"] for output in outputs]


def test_what_the_cells_held_before_is_gone() -> None:
    page = Page()
    assert page.shown(0) == [] and page.cells[0].execution_count is None
    page.say(0, "execute_input", code="a", execution_count=7)
    assert page.cells[0].execution_count == 7


def test_text_of_one_stream_is_one_output_until_something_else_comes() -> None:
    page = Page()
    for text, name in (("a", "stdout"), ("b", "stdout"), ("!", "stderr"), ("c", "stdout")):
        page.stream(0, text, name)
    page.show(0, "picture")
    page.stream(0, "d")
    assert page.shown(0) == ["ab", "!", "c", "picture", "d"]


def test_a_display_changes_wherever_it_stands() -> None:
    page = Page()
    page.show(0, "old", "x")
    page.show(0, "other", "y")
    page.show(1, "older still")
    page.show(1, "new", "x")
    assert (page.shown(0), page.shown(1)) == (["new", "other"], ["older still", "new"])
    page.show(1, "newest", "x", "update_display_data")
    assert (page.shown(0), page.shown(1)) == (["newest", "other"], ["older still", "newest"])
    page.show(1, "nowhere", "unknown", "update_display_data")
    assert page.shown(1) == ["older still", "newest"]


def test_a_cleared_output_is_gone_at_once_or_when_the_next_one_comes() -> None:
    page = Page()
    page.show(0, "first", "x")
    page.say(0, "clear_output", wait=True)
    assert page.shown(0) == ["first"]
    page.show(0, "second", "y")
    assert page.shown(0) == ["second"]
    page.show(0, "not there any more", "x", "update_display_data")
    page.show(0, "third", "y", "update_display_data")
    assert page.shown(0) == ["third"]
    page.say(0, "clear_output", wait=False)
    assert page.shown(0) == []
    page.stream(0, "stays")
    page.stream(1, "other cell")
    assert (page.shown(0), page.shown(1)) == (["stays"], ["other cell"])
