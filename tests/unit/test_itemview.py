"""What items showed: outputs in, HTML and text out."""

from __future__ import annotations

import html.parser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ganga_kernel import itemview

JOB = {"id": 3}


def stream(text: str) -> dict[str, Any]:
    return {"type": "stream", "content": {"name": "stdout", "text": text}}


def display(data: dict[str, str], kind: str = "display_data", of: str | None = None) -> dict[str, Any]:
    return {"type": kind, "content": {"data": data, "metadata": {}, "transient": {"display_id": of}}}


def error(text: str) -> dict[str, Any]:
    lines = ["\x1b[31m-----\x1b[0m", f"\x1b[31mKeyError\x1b[0m: {text}"]
    return {"type": "error", "content": {"ename": "KeyError", "evalue": text, "traceback": lines}}


def test_text() -> None:
    items = [
        (7, [stream("a\n"), error("'x'")]),
        (0, [display({"text/plain": "fig", "image/png": "QUJD"}), display({"text/plain": "5"})]),
    ]
    assert itemview.bundle(JOB, items, 4)["text/plain"].splitlines() == [
        "Item 7: KeyError: 'x'",
        "  a",
        "  -----",
        "  KeyError: 'x'",
        "Item 0",
        "  (image/png)",
        "  5",
        "2 more items of job 3 have outputs, which are not shown.",
    ]


def test_html() -> None:
    items = [(1, [stream("before"), display({"image/png": "QU\nJD"}), stream("<after>")])]
    found = itemview.bundle(JOB, items, 1)["text/html"]
    assert '<img src="data:image/png;base64,QUJD">' in found
    assert found.index("before") < found.index("<img") < found.index("&lt;after&gt;")
    assert "more items" not in found


def test_displays_are_updated_and_outputs_cleared() -> None:
    cleared = {"type": "clear_output", "content": {"wait": False}}
    items = [
        (0, [display({"text/plain": "1"}, of="d"), display({"text/plain": "2"}, "update_display_data", "d")]),
        (1, [stream("gone"), cleared, stream("left")]),
    ]
    assert itemview.bundle(JOB, items, 2)["text/plain"].splitlines() == ["Item 0", "  2", "Item 1", "  left"]


def test_a_long_text_is_cut() -> None:
    found = itemview.bundle(JOB, [(0, [stream("x" * 10**6)])], 1)["text/plain"]
    assert len(found) < 21_000 and "980000 characters more" in found


class _Tags(html.parser.HTMLParser):
    """Collects tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen |= {tag, *(f"{tag} {name}" for name, _ in attrs)}


@given(st.text())
def test_nothing_that_comes_from_outside_is_html(text: str) -> None:
    evil = f'"><script>{text}</script><b id=x>'
    outputs = [stream(evil), error(evil), display({"image/png": evil}), display({"image/svg+xml": evil})]
    tags = _Tags()
    tags.feed(itemview.bundle(JOB, [(0, outputs)], 1)["text/html"])
    assert tags.seen <= {"div", "div style", "details", "summary", "pre", "pre style", "img", "img src"}
